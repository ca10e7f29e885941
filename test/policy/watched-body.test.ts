/** Body streams that fail while something is awaited before the send. */
import { Readable } from "node:stream";
import { createReadStream } from "node:fs";
import { describe, expect, test } from "vitest";
import { withToken, sendWith } from "../../src/policy/request-policy.ts";
import type { ClientSeam, PolicyRequest } from "../../src/policy/client-seam.ts";
import { fakeGrant } from "../../src/testing/index.ts";
import { cacheUnderTest, rejectionOf, settle, watch } from "../core/cache-under-test.ts";
import { ORDERS } from "./hand-made-client.ts";

interface Upload extends PolicyRequest {
  readonly body: unknown;
}
interface Sent {
  readonly seam: ClientSeam<Upload, { status: number }>;
  readonly log: string[];
}

function client(more: Partial<ClientSeam<Upload, { status: number }>> = {}): Sent {
  const log: string[] = [];
  const seam: ClientSeam<Upload, { status: number }> = {
    async send() {
      log.push("send");
      return { status: 200 };
    },
    status: ({ status }) => status,
    header: () => null,
    canResend: () => false,
    finish: (_, outcome) => void log.push(`finish ${outcome instanceof Error ? outcome.message : "200"}`),
    ...more,
  };
  return { seam, log };
}

const idle = (): Readable => new Readable({ read() {} });
const noFile = (): Readable => createReadStream("/there/is/no/such/file");

/** What a request waits for before it is sent: returns the call, and the function that ends the wait. */
const WAITS: [
  string,
  (request: Upload, sent: Sent) => { readonly call: Promise<unknown>; readonly end: () => void },
][] = [
  [
    "a token",
    (request, { seam }) => {
      const { cache, grant } = cacheUnderTest();
      const hold = grant.hold();
      return { call: withToken(cache, request, seam), end: () => hold.release() };
    },
  ],
  [
    "the choice of the cache",
    (request, { seam }) => {
      const { cache } = cacheUnderTest();
      let end!: () => void;
      const chosen = new Promise<typeof cache>((resolve) => (end = () => resolve(cache)));
      return { call: sendWith(chosen, request, seam), end };
    },
  ],
  [
    "a proof of possession",
    (request, { seam }) => {
      let end!: () => void;
      const proof = new Promise<{ headers: object }>((resolve) => (end = () => resolve({ headers: {} })));
      const grant = Object.assign(fakeGrant(), { prove: () => proof });
      const { cache } = cacheUnderTest({ grant: grant });
      return { call: cache.get().then(() => withToken(cache, request, seam)), end };
    },
  ],
];

describe.each(WAITS)("Q6: the request waits for %s", (_, begin) => {
  test("Q6: the stream fails: the call rejects with the stream's own error at once, and nothing is sent", async () => {
    const body = idle();
    const sent = client();
    const { call, end } = begin({ url: ORDERS, body }, sent);
    const got = watch(call);
    await settle();
    const error = new Error("the disk is gone");
    body.destroy(error);
    await settle();
    expect(got.reason).toBe(error);
    end();
    await settle();
    expect(sent.log).toEqual(["finish the disk is gone"]);
  });

  test("Q6: a file that does not exist: ENOENT, and no uncaught exception", async () => {
    const sent = client();
    const { call, end } = begin({ url: ORDERS, body: noFile() }, sent);
    expect(await rejectionOf(call)).toMatchObject({ code: "ENOENT" });
    end();
  });

  test("Q6: the stream is closed before its end, as when a browser goes away: the call rejects", async () => {
    const body = idle();
    const sent = client();
    const { call, end } = begin({ url: ORDERS, body }, sent);
    const got = watch(call);
    await settle();
    body.destroy();
    await settle();
    expect(got.reason).toMatchObject({ code: "ERR_STREAM_PREMATURE_CLOSE" });
    end();
  });

  test("Q6: the client makes the stream's error one of its own", async () => {
    const body = idle();
    const sent = client({ errorFor: (_request, error) => new Error(`of the client: ${error.message}`) });
    const { call, end } = begin({ url: ORDERS, body }, sent);
    const got = watch(call);
    await settle();
    body.destroy(new Error("gone"));
    await settle();
    expect(got.reason).toMatchObject({ message: "of the client: gone" });
    end();
  });

  test("Q6: a healthy stream is sent unread, and no listener that waits for its end is left", async () => {
    const body = Readable.from(["a"]);
    const sent = client();
    const { call, end } = begin({ url: ORDERS, body }, sent);
    await settle();
    end();
    await call;
    expect([sent.log, body.readableDidRead, body.listenerCount("close")]).toEqual([["send", "finish 200"], false, 0]);
  });

  test.each([["a text"], [undefined], [null], [5], [{ on: 1 }], [new ReadableStream()], [new URLSearchParams("a=b")]])(
    "Q6: %s as body is not watched",
    async (body) => {
      const sent = client();
      const { call, end } = begin({ url: ORDERS, body }, sent);
      await settle();
      end();
      await call;
      expect(sent.log).toEqual(["send", "finish 200"]);
    },
  );
});

describe("Q6: a stream that is never sent", () => {
  test("Q6: no token can be had, and the stream fails later: no uncaught exception", async () => {
    const { cache, grant } = cacheUnderTest();
    grant.fail(new Error("down"), Infinity);
    const body = idle();
    const { seam } = client();
    expect(await rejectionOf(withToken(cache, { url: ORDERS, body }, seam))).toMatchObject({ code: "ERR_GRANT" });
    body.destroy(new Error("the browser went away"));
    await settle();
    expect(body.errored).not.toBeNull();
  });

  test("Q6, Q12: the caller aborts while a token is awaited, and the stream fails later: no uncaught exception", async () => {
    const { cache, grant } = cacheUnderTest();
    const hold = grant.hold();
    const body = idle();
    const controller = new AbortController();
    const call = withToken(cache, { url: ORDERS, body, signal: controller.signal }, client().seam);
    controller.abort();
    await rejectionOf(call);
    body.destroy(new Error("gone"));
    await settle();
    hold.release();
  });
});
