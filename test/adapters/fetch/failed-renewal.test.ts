/** Q8: what the caller gets when an answer rejects the token and no other one can be had. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { createTokenCache, isRemintError, refreshTokenGrant } from "remint";
import { type AuthFetchOptions, createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { fakeGrant } from "remint/testing";
import { FetchError } from "ofetch";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { failureOf } from "../world.ts";

const LIMIT = 64 * 1024;

/** The bodies of the 401s, by path. */
const BODIES: Readonly<Record<string, { body: Buffer; headers?: Record<string, string> }>> = {
  "/none": { body: Buffer.alloc(0) },
  "/small": { body: Buffer.from('{"error":"ünauthorized"}') },
  "/gzip": { body: gzipSync("zipped".repeat(1000)), headers: { "content-encoding": "gzip" } },
  "/limit": { body: Buffer.alloc(LIMIT, "x") },
  "/over": { body: Buffer.alloc(LIMIT + 1, "x") },
  "/big": { body: Buffer.alloc(2 << 20, "y") },
};
const server = createServer((request, response) => {
  const { body, headers } = BODIES[String(request.url)]!;
  const base = {
    "www-authenticate": 'Bearer error="invalid_token"',
    "x-request-id": "7",
    "content-length": body.length,
  };
  response.writeHead(401, "Not Today", { ...base, "content-type": "application/json", ...headers });
  response.end(body);
});
let origin: string;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

/** Creates a cache with a token, whose next mint fails. */
async function failing(how: "over" | "nobody" | "broken") {
  let mints = 0;
  const mint = async () => {
    if (mints++ === 0) return { access_token: "first" };
    if (how === "nobody") return null;
    throw new Error("the grant is broken");
  };
  const answer = { access_token: "first", token_type: "Bearer", refresh_token: "r" };
  const endpoint = async (): Promise<Response> =>
    mints++ === 0 ? Response.json(answer) : Response.json({ error: "invalid_grant" }, { status: 400 });
  const client = { tokenEndpoint: "https://login.example/token", clientId: "c", clientSecret: "s", fetch: endpoint };
  const refresh = refreshTokenGrant({ ...client, refreshToken: "r", onRotate: () => {} });
  const grant = how === "over" ? refresh : (mint as never);
  const tokens = createTokenCache({ grant, origins: [origin], mintRetries: 0 });
  await tokens.get();
  return tokens;
}

const LOOKS = ["status", "statusText", "ok", "url", "redirected", "type", "bodyUsed"] as const;
const looksOf = (answer: Response) => Object.fromEntries(LOOKS.map((name) => [name, answer[name]]));
const headersOf = ({ headers }: Response) =>
  [...headers].filter(([name]) => !["date", "connection", "keep-alive"].includes(name));

describe("nobody is signed in", () => {
  test.each(["/none", "/small", "/gzip", "/limit"])("Q8: the 401 %s is what fetch alone gives", async (path) => {
    const authFetch = createAuthFetch(await failing("nobody"));
    const [alone, ours] = [await fetch(origin + path), await authFetch(origin + path)];
    expect(ours).toBeInstanceOf(Response);
    expect([looksOf(ours), headersOf(ours)]).toEqual([looksOf(alone), headersOf(alone)]);
    const copy = ours.clone();
    expect(looksOf(copy)).toEqual(looksOf(alone));
    const text = await alone.text();
    expect([await ours.text(), await copy.text(), ours.bodyUsed]).toEqual([text, text, true]);
  });

  test.each(["/over", "/big"])("Q8: of the 401 %s the caller gets 64 KiB, without Content-Length", async (path) => {
    const answer = await createAuthFetch(await failing("nobody"))(origin + path);
    const { body } = BODIES[path]!;
    expect([answer.status, answer.headers.get("content-length"), answer.headers.get("x-request-id")]).toEqual([
      401,
      null,
      "7",
    ]);
    expect(Buffer.from(await answer.arrayBuffer()).equals(body.subarray(0, LIMIT))).toBe(true);
  });
});

describe("the option failedRenewal", () => {
  const outcomes: [
    how: Parameters<typeof failing>[0],
    option: AuthFetchOptions["failedRenewal"],
    expected: 401 | "error",
  ][] = [
    ["nobody", undefined, 401],
    ["over", undefined, 401],
    ["broken", undefined, "error"],
    ["nobody", "throw", "error"],
    ["over", "throw", "error"],
    ["broken", "throw", "error"],
    ["nobody", "response", 401],
    ["over", "response", 401],
    ["broken", "response", 401],
  ];

  test.each(outcomes)(
    "Q8: the session is %s, failedRenewal is %s: fetch gives %s",
    async (how, failedRenewal, expected) => {
      const call = createAuthFetch(await failing(how), { failedRenewal })(`${origin}/small`);
      if (expected === 401) {
        const answer = await call;
        expect([answer.status, await answer.json()]).toEqual([401, { error: "ünauthorized" }]);
      } else {
        const error = await failureOf(call);
        expect([isRemintError(error), (error as { rejected?: unknown }).rejected]).toEqual([
          true,
          { status: 401, url: `${origin}/small` },
        ]);
      }
    },
  );

  test.each(outcomes)(
    "Q8, Q17: the session is %s, failedRenewal is %s: ofetch gives %s",
    async (how, failedRenewal, expected) => {
      const error = await failureOf(createAuthOfetch(await failing(how), {}, { failedRenewal })(`${origin}/small`));
      if (expected === 401) {
        expect(error).toBeInstanceOf(FetchError);
        expect(error).toMatchObject({ status: 401, statusText: "Not Today", data: { error: "ünauthorized" } });
      } else expect([isRemintError(error), error instanceof FetchError]).toEqual([true, false]);
    },
  );

  test.each([true, "error", "RESPONSE", null, 401])(
    "Q8: %s is a TypeError that names the option",
    async (failedRenewal) => {
      const tokens = await failing("broken");
      for (const create of [
        createAuthFetch,
        (source: typeof tokens, options: never) => createAuthOfetch(source, {}, options),
      ]) {
        const make = (): unknown => create(tokens, { failedRenewal } as never);
        expect(make).toThrow(TypeError);
        expect(make).toThrow(/"failedRenewal" must be "throw" or "response"/);
      }
    },
  );
});

describe("answers of other implementations", () => {
  /** Answers as a fetch of the user's may give them. */
  const given: Readonly<Record<string, () => unknown>> = {
    "a status only": () => ({ status: 401 }),
    "status, ok and json": () => ({ status: 401, ok: false, json: async () => ({ a: 1 }) }),
    "headers that are a plain object": () => ({ status: 401, headers: { "www-authenticate": "Bearer" }, body: null }),
    "a body without a class": () => ({ status: 401, headers: {}, body: new Blob(["hand-made"]).stream() }),
    "an object without a prototype": () => Object.assign(Object.create(null) as object, { status: 401 }),
    "a class whose constructor takes something else": () =>
      new (class extends Response {
        constructor(options: { text: string }) {
          super(options.text, { status: 401 });
        }
      })({ text: "of a class" }),
  };

  test.each(Object.entries(given))("Q8: %s: the caller gets an answer that can be read", async (_what, make) => {
    const answer = make() as Response;
    const hadBody = answer.body !== undefined && answer.body !== null;
    const ours = await createAuthFetch(await failing("nobody"), { fetch: async () => answer })(`${origin}/x`);
    expect(ours.status).toBe(401);
    if (hadBody) expect(await ours.text()).toMatch(/hand-made|of a class/);
    else expect(ours).toBe(answer);
  });

  test("Q8: a body that was read already is left as it is", async () => {
    const answer = new Response("read", { status: 401 });
    await answer.text();
    expect(await createAuthFetch(await failing("nobody"), { fetch: async () => answer })(`${origin}/x`)).toBe(answer);
  });

  test("Q7, Q8: a body that fails is given as far as it came", async () => {
    let pulls = 0;
    const body = new ReadableStream({
      pull(controller) {
        if (pulls++ === 0) controller.enqueue(new TextEncoder().encode("start"));
        else controller.error(new Error("connection reset"));
      },
    });
    const beneath = async (): Promise<Response> =>
      new Response(body, { status: 401, headers: { "content-length": "99" } });
    const ours = await createAuthFetch(await failing("nobody"), { fetch: beneath })(`${origin}/x`);
    expect([await ours.text(), ours.headers.get("content-length")]).toEqual(["start", null]);
  });
});

test("Q7: the answer that rejects the token is free before the mint, and what was kept of it is not given after a renewal", async () => {
  const grant = fakeGrant();
  const tokens = createTokenCache({ grant, origins: [origin] });
  let isFree = false;
  const body = new ReadableStream({
    start: (controller) => controller.enqueue(new Uint8Array(LIMIT + 1)),
    cancel: () => void (isFree = true),
  });
  const answers = [new Response(body, { status: 401 }), new Response("renewed")];
  const seen: boolean[] = [];
  const beneath = async (): Promise<Response> => (seen.push(isFree), answers.shift()!);
  expect(await (await createAuthFetch(tokens, { fetch: beneath })(`${origin}/x`)).text()).toBe("renewed");
  expect([seen, grant.mints]).toEqual([[false, true], 2]);
});
