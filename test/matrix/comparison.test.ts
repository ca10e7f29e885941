/** The comparison of the matrix itself: a client that is not what it was through remint is found out. */
import { createAuthFetch } from "remint/fetch";
import { describe, expect, test } from "vitest";
import { fetchClient, type Source, type TestClient } from "./clients.ts";
import { type Case, type Mode, runCase } from "./run.ts";
import { withServers } from "./with-servers.ts";

const { ground, servers } = withServers();

type Fetch = typeof globalThis.fetch;

/** A client that is as it should be alone, and wrong in one way through remint. */
function wrong(
  change: (authFetch: Fetch, url: string, init: RequestInit, source: Source) => Promise<unknown>,
): TestClient {
  const right = fetchClient("wrong");
  return {
    ...right,
    open(source, setup) {
      if (source === undefined) return right.open(source, setup);
      const authFetch = createAuthFetch(source);
      const fetch = (url: string, init: RequestInit): unknown => change(authFetch, url, init, source);
      return { fetch: fetch as Fetch };
    },
  };
}

const post: Case = {
  name: "a POST",
  run: (io) => io.outcome(io.fetch(io.url("/echo"), { method: "POST", body: "text", headers: { "X-Mine": "1" } })),
};

async function token(source: Source): Promise<string> {
  return (await (source as { get(): Promise<{ header: string }> }).get()).header;
}

/** Asks for the token of the run, so that the mode is what it says. */
describe.each<[mode: Mode]>([["warm"], ["waits"], ["rejected"]])("in the mode %s", (mode) => {
  const faultsOf = (client: TestClient, entry: Case = post): Promise<string[]> =>
    runCase(ground(), client, entry, mode);

  test("Q15: nothing is found if nothing is wrong", async () => {
    expect(await faultsOf(wrong((authFetch, url, init) => authFetch(url, init)))).toEqual([]);
  });

  test.each<[string, (init: RequestInit) => RequestInit, string]>([
    ["a header in another case", (init) => ({ ...init, headers: { "x-mine": "1" } }), "X-Mine"],
    ["a header more", (init) => ({ ...init, headers: { "X-Mine": "1", "x-more": "1" } }), "x-more"],
    ["a byte less of the body", (init) => ({ ...init, body: "tex" }), '"text" alone, "tex"'],
    ["another method", (init) => ({ ...init, method: "PUT" }), '"POST" alone, "PUT"'],
    ["the token in another header too", (init) => init, "a secret is outside of Authorization"],
  ])("Q15: %s is found", async (what, change, fault) => {
    const client = wrong(async (authFetch, url, init, source) => {
      const extra = what.startsWith("the token") ? { headers: { "X-Mine": "1", "x-token": await token(source) } } : {};
      return authFetch(url, { ...change(init), ...extra });
    });
    expect((await faultsOf(client)).join()).toContain(fault);
  });

  test("Q15: a request without a token is found", async () => {
    const client = wrong((_authFetch, url, init) => globalThis.fetch(url, init));
    expect((await faultsOf(client)).join()).toContain("POST /echo has no token");
  });

  test("Q15: a request that is sent twice is found", async () => {
    const client = wrong(async (authFetch, url, init) => {
      await authFetch(url, init);
      return authFetch(url, init);
    });
    expect((await faultsOf(client)).join()).toContain("on the wire: 1:");
  });

  test("Q15: another status, and an error in place of an answer, are found", async () => {
    const other = wrong(
      async (authFetch, url, init) => new Response((await authFetch(url, init)).body, { status: 201 }),
    );
    expect((await faultsOf(other)).join()).toContain("200 alone, 201");
    const failing = wrong(async (authFetch, url, init) => {
      await authFetch(url, init);
      throw new Error("of the client");
    });
    expect((await faultsOf(failing)).join()).toContain("of the client");
  });

  test("Q11: a token inside of an error is found, also as a member that only util.inspect shows", async () => {
    const hang: Case = { name: "a reset", run: (io) => io.outcome(io.fetch(io.url("/reset"), {})) };
    const client = wrong(async (authFetch, url, init, source) => {
      const header = mode === "waits" ? "" : await token(source);
      return authFetch(url, init).catch((error: Error) => {
        throw Object.assign(error, { cause: new Map([["sent", header || `Bearer s3cret-token-`]]) });
      });
    });
    expect((await faultsOf(client, hang)).join()).toContain("a secret is printed with an error");
  });

  test("Q3: a token at the host that is not listed is found", async () => {
    const away: Case = {
      name: "elsewhere",
      bare: "not listed",
      run: (io) => io.outcome(io.fetch(io.elsewhere("/echo"), {})),
    };
    const client = wrong(async (_authFetch, url, _init, source) =>
      globalThis.fetch(url, { headers: { authorization: await token(source) } }),
    );
    expect((await faultsOf(client, away)).join()).toContain("the token arrived at an unlisted host");
  });
});

test.each<[mode: Mode, mints: number, rejected: number]>([
  ["warm", 1, 0],
  ["waits", 3, 0],
  ["rejected", 4, 3],
])("Q15: three calls in the mode %s cost %i mints, and %i answers are a 401", async (mode, mints, rejected) => {
  let run = "";
  const client = wrong(async (authFetch, url, init) => {
    [, run = ""] = /\/(\w+)\/\d+\/echo$/.exec(url) ?? [];
    return authFetch(url, init);
  });
  const thrice: Case = {
    name: "three calls",
    async run(io) {
      for (const _ of [1, 2, 3]) await io.fetch(io.url("/echo"), {});
    },
  };
  expect(await runCase(ground(), client, thrice, mode)).toEqual([]);
  const log = await servers().log(run, 0);
  expect([log.mints, log.arrivals.filter(({ isRejected }) => isRejected).length]).toEqual([mints, rejected]);
});
