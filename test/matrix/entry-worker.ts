/** A run of one row in workerd: a request for `/<row>` is answered with a result a line. */
import { walked } from "./describe.ts";
import { runRow } from "./matrix.ts";
import type { Ground } from "./run.ts";

interface Env {
  readonly SERVERS: Ground["servers"];
}

const worker = {
  fetch(request: Request, env: Env): Response {
    const row = decodeURIComponent(new URL(request.url).pathname.slice(1));
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
    const writer = writable.getWriter();
    const encoder = new TextEncoder();
    const write = (value: object): Promise<void> => writer.write(encoder.encode(`${JSON.stringify(value)}\n`));
    const run = async (): Promise<void> => {
      const unfit = await runRow({ servers: env.SERVERS, inspect: walked }, row, (result) => void write(result));
      await write({ end: true, unfit });
      await writer.close();
    };
    run().catch((error: unknown) => writer.abort(error));
    return new Response(readable);
  },
};
export default worker;
