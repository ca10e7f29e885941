/** What is sent: bodies that can be sent again and those that cannot, headers in every form, what the caller changes. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { text as textIn } from "node:stream/consumers";
import { Readable } from "node:stream";
import { RemintError } from "remint";
import { createAuthInterceptor } from "remint/undici";
import { describe, expect, test } from "vitest";
import { KeptBody } from "../../../src/adapters/undici/kept-body.ts";
import { failureOf, Stage } from "../axios/stage.ts";
import { Gate } from "../world.ts";
import { fetched, newest, request } from "./dispatch.ts";

const MIB = 1024 * 1024;

async function* generated(): AsyncGenerator<string> {
  yield "one ";
  yield "two";
}

async function textOf(body: AsyncIterable<unknown>): Promise<string> {
  let text = "";
  for await (const chunk of body) text += String(chunk);
  return text;
}

describe.each(newest)("undici %s", (_version, undici) => {
  async function open() {
    const stage = await Stage.open();
    const agent = new undici.Agent();
    const dispatcher = agent.compose(createAuthInterceptor(stage.tokens));
    return {
      stage,
      dispatcher,
      call: (sent = {}) => request(undici, dispatcher, stage.url, { method: "POST", ...sent }),
      fetch: (sent = {}) => fetched(fetch, dispatcher, stage.url, { method: "POST", ...sent }),
      async [Symbol.asyncDispose]() {
        await agent.destroy();
        await stage[Symbol.asyncDispose]();
      },
    };
  }

  test("Q6: what fetch is given as a string, a buffer, a form or a Blob is sent again, up to 1 MiB", async () => {
    const form = new FormData();
    form.set("a", new Blob(["file"]), "a.txt");
    for (const body of ["text", new Uint8Array(MIB), new URLSearchParams("a=1"), form, new Blob(["blob"])]) {
      await using world = await open();
      await world.stage.warmAndRevoke();
      expect((await world.fetch({ body })).status).toBe(200);
      const [first, second] = world.stage.api.requests.map(({ body: bytes }) => Buffer.from(bytes));
      expect([world.stage.sends, first!.length > 0, first!.equals(second!)]).toEqual([
        ["fake-1", "fake-2"],
        true,
        true,
      ]);
    }
  });

  test("Q6: a longer body of fetch is sent once, and its 401 goes to the caller", async () => {
    await using world = await open();
    await world.stage.warmAndRevoke();
    expect((await world.fetch({ body: new Uint8Array(MIB + 1) })).status).toBe(401);
    expect((await world.fetch({ body: "short" })).status).toBe(200);
    expect(world.stage.sends).toEqual(["fake-1", "fake-2"]);
  });

  test("Q6: an iterable that states its length is sent again; a stream, a generator and an iterator are not", async () => {
    const headers = { "content-length": "7" };
    const made: [string, () => unknown, Record<string, string>, string][] = [
      ["an async generator with a length", generated, headers, "again"],
      ["a list of strings", () => ["one ", "two"], {}, "again"],
      ["an async generator", generated, {}, "once"],
      ["an iterator", () => ["one ", "two"].values(), {}, "once"],
      ["a Readable with a length", () => Readable.from(["one ", "two"]), headers, "once"],
    ];
    for (const [what, make, given, expected] of made) {
      await using world = await open();
      await world.stage.warmAndRevoke();
      const { status } = await world.call({ body: make(), headers: given });
      expect([what, status, world.stage.bodies]).toEqual(
        expected === "again" ? [what, 200, ["one two", "one two"]] : [what, 401, ["one two"]],
      );
    }
  });

  test("Q6: a body that an early 401 broke off is sent again whole", async () => {
    await using world = await open();
    let begun = 0;
    const wanted = new Gate();
    // Answers the first request before its body has ended.
    const server = createServer((incoming, response) => {
      begun++;
      if (begun === 1) response.writeHead(401, { connection: "close" }).end("no");
      else {
        wanted.open();
        void textIn(incoming).then((text) => response.end(text));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const tokens = world.stage.cache({ origins: [origin] });
    async function* slow(): AsyncGenerator<string> {
      yield "one ";
      await wanted.passed;
      yield "two";
    }
    const agent = new undici.Agent();
    const dispatcher = agent.compose(createAuthInterceptor(tokens));
    const sent = { method: "POST", body: slow(), headers: { "content-length": "7" } };
    expect(await request(undici, dispatcher, origin, sent)).toMatchObject({ status: 200, text: "one two" });
    expect(begun).toBe(2);
    await agent.destroy();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  test("Q6: a stream that fails while a token is awaited fails the call, and nothing is sent", async () => {
    await using world = await open();
    const hold = world.stage.grant.hold();
    const body = new Readable({ read() {} });
    const failure = failureOf(world.call({ body }));
    await expect.poll(() => hold.waiting).toBe(1);
    const error = new Error("the disk is gone");
    body.destroy(error);
    expect(await failure).toBe(error);
    hold.release();
    expect(world.stage.sends).toEqual([]);
  });

  test("Q6: a body that was never sent is ended", async () => {
    await using world = await open();
    world.stage.grant.fail(new Error("no token"), Infinity);
    let ended = 0;
    const source = { next: () => ({ done: false, value: "x" }), return: () => (ended++, { done: true }) };
    const body = { [Symbol.asyncIterator]: () => source };
    for (const headers of [{}, { "content-length": "7" }]) {
      expect(await failureOf(world.call({ body, headers }))).toBeInstanceOf(RemintError);
    }
    expect([ended, world.stage.sends]).toEqual([2, []]);
  });

  test("Q1, Q15: headers in every form get the token, and keep their values; an own Authorization is left alone", async () => {
    const forms: [string, unknown][] = [
      ["a plain object", { "X-Mine": "1", "X-Twice": ["2", "3"], "x-none": undefined }],
      ["a list", ["X-Mine", "1", "X-Twice", ["2", "3"], "x-none", undefined]],
      [
        "a Map",
        new Map<string, unknown>([
          ["X-Mine", "1"],
          ["X-Twice", ["2", "3"]],
        ]),
      ],
    ];
    for (const [form, headers] of forms) {
      await using world = await open();
      await world.stage.warmAndRevoke();
      expect((await world.call({ headers })).status).toBe(200);
      for (const sent of world.stage.api.requests) {
        expect([form, sent.headers["x-mine"], sent.headers["x-twice"], sent.headers["x-none"]]).toEqual([
          form,
          "1",
          "2, 3",
          undefined,
        ]);
      }
    }
    for (const headers of [
      { AUTHORIZATION: "Bearer mine" },
      ["Authorization", "Bearer mine"],
      new Headers({ authorization: "Bearer mine" }),
    ]) {
      await using world = await open();
      expect((await world.call({ headers })).status).toBe(401);
      expect([world.stage.sends, world.stage.grant.mints]).toEqual([["mine"], 0]);
    }
  });

  test("Q14: what the caller changes after the call is not sent", async () => {
    await using world = await open();
    const hold = world.stage.grant.hold();
    const list = ["x-mine", "1"];
    const options = {
      dispatcher: world.dispatcher,
      method: "POST" as const,
      headers: list,
      body: "before",
    };
    const call = undici.request(world.stage.url, options);
    await expect.poll(() => hold.waiting).toBe(1);
    list[1] = "2";
    options.body = "after";
    hold.release();
    await (await call).body.dump();
    expect([world.stage.bodies, world.stage.api.requests[0]!.headers["x-mine"]]).toEqual([["before"], "1"]);
  });

  test("Q14, Q2: a URL object as the origin, and a query, that the caller changes while the request waits", async () => {
    await using world = await open();
    await using elsewhere = await Stage.open();
    const hold = world.stage.grant.hold();
    const origin = new URL(world.stage.api.origin);
    const query = { page: 1, tags: ["a"] };
    const call = world.dispatcher.request({ origin, path: "/orders", method: "GET", query });
    await expect.poll(() => hold.waiting).toBe(1);
    origin.port = new URL(elsewhere.api.origin).port;
    query.page = 2;
    query.tags.push("b");
    hold.release();
    await (await call).body.dump();
    expect([world.stage.api.requests.map(({ url }) => url), elsewhere.sends]).toEqual([["/orders?page=1&tags=a"], []]);
  });

  test("Q15: what undici refuses is refused with undici's own error", async () => {
    await using world = await open();
    await world.stage.tokens.get();
    const alone = new undici.Agent();
    for (const sent of [
      { body: 5 },
      { headers: ["odd"] },
      { headers: [["x-pair", "1"]] },
      { headers: 5 },
      { headers: new Map([["x-bad\n", "1"]]) },
      { headers: { "x-bad": {} } },
      { method: "A B" },
    ]) {
      const refuse = (dispatcher: typeof alone) =>
        failureOf(request(undici, dispatcher, world.stage.url, { method: "POST", ...sent } as never)) as Promise<Error>;
      const [own, through] = [await refuse(alone), await refuse(world.dispatcher as typeof alone)];
      expect([JSON.stringify(sent), through.name, through.message]).toEqual([
        JSON.stringify(sent),
        own.name,
        own.message,
      ]);
    }
    expect(world.stage.sends).toEqual([]);
    await alone.destroy();
  });
});

describe("a body that is kept", () => {
  test("Q6: a reader that leaves in the middle, and one that asked for a chunk and left, lose nothing for the next", async () => {
    const given = new Gate();
    const body = new KeptBody(
      (async function* () {
        yield "one ";
        await given.passed;
        yield "two ";
        yield "three";
      })(),
    );
    const left = body[Symbol.asyncIterator]();
    expect((await left.next()).value).toBe("one ");
    const asked = left.next();
    const next = textOf(body);
    given.open();
    await asked;
    await left.return();
    expect(await next).toBe("one two three");
    expect(await textOf(body)).toBe("one two three");
  });

  test("Q6: an error of the source is the error of every reader", async () => {
    const error = new Error("the disk is gone");
    const body = new KeptBody(
      (async function* () {
        yield "one";
        throw error;
      })(),
    );
    expect(await failureOf(textOf(body))).toBe(error);
  });

  test("Q6: the source is ended when the request has its answer and nobody reads", async () => {
    let isEnded = false;
    const body = new KeptBody(
      (async function* () {
        try {
          yield "one";
          yield "two";
        } finally {
          isEnded = true;
        }
      })(),
    );
    const reader = body[Symbol.asyncIterator]();
    await reader.next();
    body.close();
    expect(isEnded).toBe(false);
    await reader.return();
    await expect.poll(() => isEnded).toBe(true);
  });
});
