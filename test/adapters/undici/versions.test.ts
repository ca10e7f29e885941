/** Every undici from 6.9 on, by every way to send a request through its dispatchers. */
import { Readable } from "node:stream";
import { findRemintError } from "remint";
import { createAuthInterceptor } from "remint/undici";
import { describe, expect, test } from "vitest";
import { Stage } from "../axios/stage.ts";
import { versions, ways } from "./dispatch.ts";

const post = { method: "POST", body: "a body", headers: { "content-type": "text/plain" } };

describe.each(Object.entries(versions))("undici %s", (_version, undici) => {
  describe.each(Object.entries(ways))("%s", (_way, send) => {
    async function open() {
      const stage = await Stage.open();
      const dispatcher = new undici.Agent().compose(createAuthInterceptor(stage.tokens));
      return {
        stage,
        call: (sent = {}) => send(undici, dispatcher, stage.url, sent),
        async [Symbol.asyncDispose]() {
          await dispatcher.destroy();
          await stage[Symbol.asyncDispose]();
        },
      };
    }

    test("Q15: a request that waits for a token, and one with a token in the cache", async () => {
      await using world = await open();
      for (const _ of ["waits", "warm"]) {
        expect(await world.call(post)).toMatchObject({ status: 200, text: '{"ok":true,"path":"/orders"}' });
      }
      expect([world.stage.sends, world.stage.bodies]).toEqual([
        ["fake-1", "fake-1"],
        ["a body", "a body"],
      ]);
    });

    test("Q5, Q6: after a 401 a GET, a POST and a HEAD are sent again with a new token and the same body", async () => {
      await using world = await open();
      await world.stage.tokens.get();
      for (const sent of [{}, post, { method: "HEAD" }]) {
        world.stage.revoke();
        expect((await world.call(sent)).status).toBe(200);
      }
      expect(world.stage.sends).toEqual(["fake-1", "fake-2", "fake-2", "fake-3", "fake-3", "fake-4"]);
      expect(world.stage.bodies).toEqual(["", "", "a body", "a body", "", ""]);
    });

    test("Q6: a stream is sent once, its 401 goes to the caller, and the next request has a new token", async () => {
      await using world = await open();
      await world.stage.tokens.get();
      world.stage.revoke();
      expect((await world.call({ ...post, body: Readable.from(["one ", "two"]) })).status).toBe(401);
      expect((await world.call(post)).status).toBe(200);
      expect([world.stage.sends, world.stage.bodies]).toEqual([
        ["fake-1", "fake-2"],
        ["one two", "a body"],
      ]);
    });

    test("Q12: an abort ends the wait for a token, and nothing is sent", async () => {
      await using world = await open();
      const hold = world.stage.grant.hold();
      const controller = new AbortController();
      const reason = new Error("has seen enough");
      const failure = world.call({ signal: controller.signal }).then(
        () => undefined,
        (error: unknown) => error,
      );
      await expect.poll(() => hold.waiting).toBe(1);
      controller.abort(reason);
      expect([await failure, hold.waiting]).toEqual([reason, 1]);
      hold.release();
      await world.stage.tokens.get();
      expect(world.stage.sends).toEqual([]);
    });

    test("Q17: the error of a mint that failed is found in what the caller gets", async () => {
      await using world = await open();
      world.stage.grant.fail(new Error("no token today"), Infinity);
      const failure = await world.call().catch((error: unknown) => error);
      expect(findRemintError(failure)).toMatchObject({ status: 503 });
      expect(world.stage.sends).toEqual([]);
    });
  });
});
