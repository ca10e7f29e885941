/** Q6: which bodies are resent, byte for byte, and which are not. */
import { Readable } from "node:stream";
import FormDataPackage from "form-data";
import { expect } from "vitest";
import type { ClientName, Sent, TestClient } from "./clients.ts";
import { type Case, times, type World } from "./world.ts";

const BYTES = new Uint8Array(times(300, (index) => index % 256));
const CHUNKS = ["first chunk, ", "second chunk, ", "ütf-8"];
const WHOLE = Buffer.from(CHUNKS.join(""));

interface Body {
  readonly kind: string;
  readonly clients?: readonly ClientName[];
  readonly make: (client: TestClient) => Pick<Sent, "body" | "headers" | "own">;
  /** The bytes that have to arrive. If undefined: those that the client sends without us. */
  readonly bytes?: Uint8Array;
}

const text = { "content-type": "text/plain" };
/** Buffer.from takes small buffers from a shared pool; the bytes around this one must not be sent. */
const pooled = Buffer.from(BYTES);

const replayable: readonly Body[] = [
  { kind: "a string", make: () => ({ body: "grüße", headers: text }), bytes: Buffer.from("grüße") },
  {
    kind: "JSON in the client's own way",
    make: ({ json }) => json({ a: [1, "ü"] }),
    bytes: Buffer.from('{"a":[1,"ü"]}'),
  },
  {
    kind: "URLSearchParams",
    make: () => ({ body: new URLSearchParams("a=1&b=%C3%BC") }),
    bytes: Buffer.from("a=1&b=%C3%BC"),
  },
  { kind: "a Buffer", make: () => ({ body: pooled, headers: text }), bytes: BYTES },
  { kind: "a Uint8Array", make: () => ({ body: BYTES.slice(), headers: text }), bytes: BYTES },
  { kind: "a Uint16Array", make: () => ({ body: new Uint16Array(BYTES.slice().buffer), headers: text }), bytes: BYTES },
  { kind: "an ArrayBuffer", make: () => ({ body: BYTES.slice().buffer, headers: text }), bytes: BYTES },
  { kind: "a DataView", make: () => ({ body: new DataView(BYTES.slice().buffer), headers: text }), bytes: BYTES },
  { kind: "a Blob", make: () => ({ body: new Blob([BYTES], { type: "image/png" }) }), bytes: BYTES },
  { kind: "a File", make: () => ({ body: new File([BYTES], "a.png", { type: "image/png" }) }), bytes: BYTES },
  // Its boundary is new in every send, so its bytes are not compared with a constant.
  { kind: "a web FormData", make: () => ({ body: webForm() }) },
  { kind: "a megabyte", make: () => ({ body: new Uint8Array(1 << 20).fill(7), headers: text }) },
  { kind: "nothing", make: () => ({}), bytes: new Uint8Array() },
];

const fetches: readonly ClientName[] = ["fetch", "ofetch"];
const asIs = { transformRequest: (data: unknown) => data };

/** Bodies that are used up by one send. */
const oneShot: readonly Body[] = [
  // axios' http adapter does not accept web streams.
  {
    kind: "a web ReadableStream",
    clients: [...fetches, "axios/fetch"],
    make: () => ({ body: webStream() }),
    bytes: WHOLE,
  },
  { kind: "a Node Readable", make: () => ({ body: Readable.from(CHUNKS), headers: text }), bytes: WHOLE },
  // axios turns an iterable into JSON unless `transformRequest` is replaced.
  {
    kind: "an async generator",
    clients: [...fetches, "axios/fetch"],
    make: () => ({ body: iterable(), own: asIs }),
    bytes: WHOLE,
  },
  // Only axios' http adapter sends the package's forms; fetch would send "[object FormData]".
  { kind: "the form-data package", clients: ["axios/http"], make: () => packageForm() },
];

export const bodyCases: readonly Case[] = [
  ...replayable.map((body) => ({
    name: `Q6: ${body.kind} as a body is resent byte for byte`,
    run: (world: World) => expectResent(world, body),
  })),
  ...oneShot.map((body) => ({
    name: `Q6: ${body.kind} as a body is not resent: the 401 goes to the caller, and the next call gets a new token`,
    ...(body.clients && { clients: body.clients }),
    run: (world: World) => expectNotResent(world, body),
  })),
  ...oneShot.map((body) => ({
    name: `Q6: ${body.kind} from a body factory is resent`,
    ...(body.clients && { clients: body.clients }),
    run: (world: World) => expectFactoryResent(world, body),
  })),
];

async function expectResent(world: World, { make, bytes }: Body): Promise<void> {
  const { client, api } = world;
  const { call } = await world.warm();
  const url = `${api.origin}/upload`;
  await call(url, { method: "POST", remint: false, ...make(client) });
  world.auth.revokeAll();
  expect((await call(url, { method: "POST", ...make(client) })).status).toBe(200);
  const [bare, first, resend] = receivedRequests(world);
  expect(api.requests.length).toBe(3);
  expect(resend).toEqual(first);
  expect(first).toEqual(bare);
  if (bytes !== undefined) expect(api.requests.map(({ body }) => hex(body))).toEqual(times(3, () => hex(bytes)));
  else expect(bare?.body.length).toBeGreaterThan(100);
}

async function expectNotResent(world: World, { make, bytes }: Body): Promise<void> {
  const { client, api, auth } = world;
  const { tokens, call } = await world.warm();
  auth.revokeAll();
  const reply = await call(`${api.origin}/upload`, { method: "POST", ...make(client) });
  expect([reply.status, JSON.parse(reply.text)]).toEqual([401, { ok: false, error: "invalid_token" }]);
  expect([api.requests.length, tokens.peek()]).toEqual([1, undefined]);
  if (bytes !== undefined) expect(hex(api.requests[0]?.body)).toBe(hex(bytes));
  const next = await call(`${api.origin}/upload`, { method: "POST", ...make(client) });
  expect([next.status, auth.mints, world.sends()]).toEqual([200, 2, auth.issued]);
}

async function expectFactoryResent(world: World, { make }: Body): Promise<void> {
  const { client, api, auth } = world;
  const { call } = await world.warm();
  auth.revokeAll();
  const made = make(client);
  let calls = 0;
  const remint = { body: () => (calls++, make(client).body) };
  const { body: _, ...rest } = made;
  // A form of the package names its boundary in the headers, which are the same for both sends.
  const own = { ...rest.own, ...asIs };
  const form = world.client.name === "axios/http" && made.body instanceof FormDataPackage ? fixedForm : undefined;
  const reply = await call(`${api.origin}/upload`, {
    method: "POST",
    ...rest,
    ...(form && { headers: form().getHeaders() }),
    own,
    remint: form ? { body: () => (calls++, form()) } : remint,
  });
  expect([reply.status, calls, world.sends()]).toEqual([200, 2, auth.issued]);
  const [first, resend] = api.requests.map(({ body }) => Buffer.from(body).toString());
  expect(resend).toBe(first);
  expect(first).toContain("second chunk");
}

/** Returns the requests that arrived, with their random boundaries replaced by a constant. */
function receivedRequests({ api }: World): { type: string; length: unknown; body: string }[] {
  return api.requests.map(({ headers, body }) => {
    const type = String(headers["content-type"]);
    const latin1 = Buffer.from(body).toString("latin1");
    // From the body, because axios' fetch adapter sends the content type "x-www-form-urlencoded" for forms, also
    // without us.
    const boundary = /^--(\S+)\r\n/.exec(latin1)?.[1];
    const normal = (string: string): string =>
      boundary === undefined ? string : string.replaceAll(boundary, "BOUNDARY");
    return { type: normal(type), length: headers["content-length"], body: normal(latin1) };
  });
}

function hex(bytes: Uint8Array | undefined): string | undefined {
  return bytes && Buffer.from(bytes).toString("hex");
}

function webForm(): FormData {
  const form = new FormData();
  form.set("field", "välue");
  form.set("file", new Blob([BYTES], { type: "image/png" }), "a.png");
  return form;
}

function webStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of CHUNKS) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });
}

async function* iterable(): AsyncGenerator<Uint8Array> {
  for (const chunk of CHUNKS) yield new TextEncoder().encode(chunk);
}

function packageForm(): Pick<Sent, "body" | "headers"> {
  const form = fixedForm();
  return { body: form, headers: form.getHeaders() };
}

function fixedForm(): FormDataPackage {
  const form = new FormDataPackage();
  form.setBoundary("----the-same-each-time");
  form.append("field", CHUNKS.join(""));
  return form;
}
