/** Every implementation of fetch as the option `fetch`, and as what the caller's own requests are made with. */
import { createTokenCache } from "remint";
import { type AuthFetchOptions, createAuthFetch } from "remint/fetch";
import { type Api, fakeGrant, startApi } from "remint/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { implementations, isInstalled } from "./implementations.ts";
import type { Implementation } from "./implementations.ts";

if (!isInstalled)
  console.warn("skipped: the packages of test/clients; install them with: node test/clients/install.mjs");

const LIMIT = 64 * 1024;
const MEGABYTE = Buffer.alloc(1 << 20, "0123456789abcdef");

let api: Api;
let rejected: string | undefined;
beforeAll(async () => void (api = await startApi({ accepts: (token) => token !== rejected })));
afterAll(() => api.close());

for (const [name, { isHere, start }] of Object.entries(implementations)) {
  describe.skipIf(!isHere)(`${name} fetch`, () => {
    let own: Implementation;
    beforeAll(async () => void (own = await start()));
    afterAll(() => own.close?.());
    beforeEach(() => {
      rejected = undefined;
      api.respondAlways(undefined);
    });

    /** Creates a fetch over this implementation, and a grant that ends with its first token if `ends`. */
    async function open({ ends = false, ...options }: AuthFetchOptions & { ends?: boolean } = {}) {
      const grant = fakeGrant();
      const tokens = createTokenCache({ grant, origins: [api.origin], mintRetries: 0 });
      const first = api.requests.length;
      const sent = () => api.requests.slice(first).map(({ token, method, text }) => [token, method, text]);
      const warm = async () => {
        await tokens.get();
        if (ends) grant.fail(new Error("no other token"), Infinity);
      };
      return { grant, tokens, warm, sent, authFetch: createAuthFetch(tokens, { fetch: own.fetch, ...options }) };
    }

    const post = { method: "POST", body: "a body", headers: { "content-type": "text/plain" } };

    test("Q15: a request with a token in the cache, and one that waits for it", async () => {
      const { authFetch, sent } = await open();
      for (const url of [`${api.origin}/cold`, `${api.origin}/warm`]) {
        const answer = await authFetch(url, post);
        expect([answer.status, await answer.json()]).toEqual([200, { ok: true, path: new URL(url).pathname }]);
        if (own.Response !== undefined) expect(answer).toBeInstanceOf(own.Response);
      }
      expect(sent()).toEqual([
        ["fake-1", "POST", "a body"],
        ["fake-1", "POST", "a body"],
      ]);
    });

    test("Q5: after a 401 the request is sent again", async () => {
      const { authFetch, sent, warm } = await open();
      await warm();
      rejected = "fake-1";
      const answer = await authFetch(`${api.origin}/x`, post);
      expect([answer.status, await answer.text()]).toEqual([200, '{"ok":true,"path":"/x"}']);
      expect(sent()).toEqual([
        ["fake-1", "POST", "a body"],
        ["fake-2", "POST", "a body"],
      ]);
    });

    test("Q6: a POST of its Request is sent once, and again after a 401, whole and with its headers", async () => {
      const { authFetch, sent, warm } = await open();
      const first = api.requests.length;
      await warm();
      expect((await authFetch(new own.Request(`${api.origin}/x`, post))).status).toBe(200);
      rejected = "fake-1";
      expect((await authFetch(new own.Request(`${api.origin}/x`, post))).status).toBe(200);
      expect(sent()).toEqual([
        ["fake-1", "POST", "a body"],
        ["fake-1", "POST", "a body"],
        ["fake-2", "POST", "a body"],
      ]);
      for (const { headers } of api.requests.slice(first)) expect(headers["content-type"]).toBe("text/plain");
    });

    test("Q10: an answer of a megabyte arrives whole, with a rule that reads its start and without", async () => {
      api.respondAlways({ body: MEGABYTE });
      const readsStart: AuthFetchOptions = {
        inspectStatuses: [200],
        isRejected: async ({ text }) => (await text(1000)) === "",
      };
      for (const options of [{}, readsStart]) {
        const { authFetch, warm, sent } = await open(options);
        await warm();
        const bytes = Buffer.from(await (await authFetch(`${api.origin}/x`)).arrayBuffer());
        expect([bytes.equals(MEGABYTE), sent().length]).toEqual([true, 1]);
      }
    });

    test("Q8: a 401 that is given to the caller after all is of its own class, and can be read", async () => {
      const { authFetch, warm } = await open({ ends: true, failedRenewal: "response" });
      await warm();
      api.respondAlways({ status: 401, headers: { "x-request-id": "7" }, body: "not you" });
      const answer = await authFetch(`${api.origin}/x`);
      expect([answer.status, answer.url, answer.headers.get("x-request-id")]).toEqual([401, `${api.origin}/x`, "7"]);
      if (own.Response !== undefined) expect(answer).toBeInstanceOf(own.Response);
      expect([await answer.clone().text(), await answer.text()]).toEqual(["not you", "not you"]);
    });

    test("Q8: of a 401 of a megabyte the caller gets 64 KiB", async () => {
      const { authFetch, warm } = await open({ ends: true, failedRenewal: "response" });
      await warm();
      api.respondAlways({ status: 401, body: MEGABYTE });
      const answer = await authFetch(`${api.origin}/x`);
      const bytes = Buffer.from(await answer.arrayBuffer());
      expect([answer.headers.get("content-length"), bytes.equals(MEGABYTE.subarray(0, LIMIT))]).toEqual([null, true]);
    });

    test("Q7: a 401 of a megabyte frees the only connection", async ({ skip }) => {
      if (own.oneConnection === undefined) skip();
      const { init, close } = own.oneConnection!();
      const { authFetch, warm } = await open();
      await warm();
      rejected = "fake-1";
      api.respond({ status: 401, body: MEGABYTE });
      expect((await authFetch(`${api.origin}/x`, init)).status).toBe(200);
      await close();
    });

    test("Q4: a rule reads a 401, and its body is kept for the caller", async () => {
      const texts: string[] = [];
      const isRejected: AuthFetchOptions["isRejected"] = async ({ text }) => (texts.push(await text(100)), true);
      const { authFetch, warm } = await open({ ends: true, failedRenewal: "response", isRejected });
      await warm();
      api.respondAlways({ status: 401, body: "not you" });
      expect([await (await authFetch(`${api.origin}/x`)).text(), texts]).toEqual(["not you", ["not you"]]);
    });

    test("Q7: answers without a body: HEAD, and 204; a HEAD is renewed", async () => {
      const { authFetch, warm, sent } = await open();
      await warm();
      rejected = "fake-1";
      const head = await authFetch(`${api.origin}/x`, { method: "HEAD" });
      expect([head.status, await head.text(), sent().length]).toEqual([200, "", 2]);
      api.respondAlways({ status: 204 });
      const empty = await authFetch(`${api.origin}/x`, { method: "DELETE" });
      expect([empty.status, await empty.text()]).toEqual([204, ""]);
    });
  });
}
