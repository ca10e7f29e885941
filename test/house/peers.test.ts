/**
 * The rig of `npm run peers` tells a wrong client from a right one, and holds the rows of remint to docs/numbers.md. The packages
 * that the command measures are not installed for that: the wrong clients are written here, each with one fault.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { PEERS } from "../../bench/peers/clients.mjs";
import { type Client, measure, type SentRequest } from "../../bench/peers/rig.mjs";
import { type Cells, cellsOf, differences, markdown, TABLES } from "../../bench/peers/table.mjs";
import { ROOT } from "./markdown.ts";

const CLAIMS = ["sharing", "renewal", "hosts", "redaction", "aborts"];
const FEW = { callers: 12, late: 5, failing: 6 };
const PAGE = readFileSync(join(ROOT, "docs/numbers.md"), "utf8");
const cellsOfClient = async (client: Client): Promise<Cells> => cellsOf(CLAIMS, await measure(client, FEW));

function initOf({ method = "GET", type, body, signal }: SentRequest): RequestInit {
  const init: RequestInit & { duplex?: "half" } = { method };
  if (type !== undefined) init.headers = { "content-type": type };
  if (signal !== undefined) init.signal = signal;
  if (body instanceof Readable) Object.assign(init, { body: Readable.toWeb(body), duplex: "half" });
  else if (body !== undefined) init.body = Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body);
  return init;
}

describe("the rows of remint are those of docs/numbers.md", () => {
  const own = PEERS.filter(({ name }) => name.startsWith("remint"));
  test.concurrent.each(own)(
    "$name",
    async ({ name, claims, create }) => {
      const cells = cellsOf(claims, await measure(create, FEW));
      expect(differences([{ name, cells }], PAGE)).toEqual([]);
    },
    90_000,
  );
});

/** What a wrong client does, one fault at a time. */
type Fault =
  | "asks for a token for every caller"
  | "takes any 401 for one to the current token"
  | "forgets the token before it has another one"
  | "sends nothing again"
  | "sends an empty body again"
  | "makes callers wait who have left"
  | "fails all callers when one leaves"
  | "sends the token everywhere"
  | "prints the token";

/** Rejects when the signal aborts, whatever becomes of the work. */
async function leavable<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await work;
  const left = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("The caller has left")));
  });
  return await Promise.race([work, left]);
}

/** A client without a library: right, but for its faults. */
function handWritten(...faults: readonly Fault[]): Client {
  const is = (fault: Fault): boolean => faults.includes(fault);
  const waits = is("makes callers wait who have left");
  return ({ tokenEndpoint, clientId, clientSecret, origin }) => {
    let token: string | undefined;
    let pending: Promise<string> | undefined;
    const requestToken = async (signal?: AbortSignal): Promise<string> => {
      const form = new URLSearchParams({ grant_type: "client_credentials", client_id: clientId });
      form.set("client_secret", clientSecret);
      const given = is("fails all callers when one leaves") && signal !== undefined ? { signal } : {};
      const answer = await fetch(tokenEndpoint, { method: "POST", body: form, ...given });
      if (!answer.ok) throw new Error(`The token endpoint answered ${answer.status}`);
      token = ((await answer.json()) as { access_token: string }).access_token;
      return token;
    };
    const next = (signal?: AbortSignal): Promise<string> => {
      if (is("asks for a token for every caller")) return requestToken(signal);
      pending ??= requestToken(signal).finally(() => (pending = undefined));
      return pending;
    };
    const send = async (url: string, request: SentRequest = {}): Promise<number> => {
      const once = async (value: string | undefined, init: RequestInit): Promise<number> => {
        const headers = new Headers(init.headers);
        if (value !== undefined) headers.set("authorization", `Bearer ${value}`);
        try {
          return (await fetch(url, { ...init, headers })).status;
        } catch (error) {
          throw is("prints the token") ? new Error(`failed with ${value}`, { cause: error }) : error;
        }
      };
      if (new URL(url).origin !== origin && !is("sends the token everywhere")) return await once(undefined, {});
      const used = token ?? (await leavable(next(request.signal), waits ? undefined : request.signal));
      const status = await once(used, initOf(request));
      if (status !== 401 || is("sends nothing again") || request.body instanceof Readable) return status;
      if (is("forgets the token before it has another one")) token = undefined;
      const isOld = token !== used && token !== undefined;
      const other = isOld && !is("takes any 401 for one to the current token") ? token : await next();
      const init = initOf(request);
      if (init.body !== undefined && is("sends an empty body again")) init.body = "";
      return await once(other, init);
    };
    return { send };
  };
}

const [COLD, REVOKED, LATE, DOWN, LATE_AND_DOWN, BODIES, ABORTS, HOST, PRINTED] = TABLES.flatMap(({ columns }) =>
  columns.map(({ head }) => head),
) as [string, string, string, string, string, string, string, string, string];
/** The cells of the hand-written client without a fault. */
const RIGHT: Cells = {
  [COLD]: "1, 0",
  [REVOKED]: "1, 0",
  [LATE]: "0",
  [DOWN]: "1",
  [LATE_AND_DOWN]: "answered, token kept",
  [BODIES]: "same, same, not sent (401)",
  [ABORTS]: "leaves, unharmed",
  [HOST]: "no token",
  [PRINTED]: "nothing",
};
/** More than one. How many callers are rejected before another one has brought a token is a matter of time. */
const MANY: string = expect.stringMatching(/^([2-9]|1[0-2]), 0$/);
const held = (cells: Cells): Cells =>
  Object.fromEntries(Object.entries(cells).filter(([head]) => Object.hasOwn(RIGHT, head)));

describe("the rig sees each fault, and no other", () => {
  test.concurrent("a client without a fault", async () => {
    expect(held(await cellsOfClient(handWritten()))).toEqual(RIGHT);
  }, 90_000);

  test.concurrent.each<[Fault, Cells]>([
    ["asks for a token for every caller", { [COLD]: "12, 0", [REVOKED]: MANY, [DOWN]: "6" }],
    ["takes any 401 for one to the current token", { [LATE]: "5", [LATE_AND_DOWN]: "fails, token kept" }],
    ["forgets the token before it has another one", { [LATE]: "5", [LATE_AND_DOWN]: "fails, token lost" }],
    [
      "sends nothing again",
      {
        [REVOKED]: "0, 12",
        [LATE]: "0, 5 callers fail",
        [LATE_AND_DOWN]: "fails, token lost",
        [BODIES]: "not sent (401), not sent (401), not sent (401)",
      },
    ],
    ["sends an empty body again", { [BODIES]: "empty, empty, not sent (401)" }],
    ["makes callers wait who have left", { [ABORTS]: "waits, unharmed" }],
    ["fails all callers when one leaves", { [ABORTS]: "leaves, 2 of 2 fail" }],
    ["sends the token everywhere", { [HOST]: "token" }],
    ["prints the token", { [PRINTED]: "token" }],
  ])(
    "a client that %s",
    async (fault, cells) => {
      expect(held(await cellsOfClient(handWritten(fault)))).toEqual({ ...RIGHT, ...cells });
    },
    90_000,
  );

  test.concurrent("a client whose calls never end is not waited for, and its callers are counted", async () => {
    const cells = cellsOf(
      CLAIMS,
      await measure(() => ({ send: () => sleep(2 ** 30, 200, { ref: false }) }), { ...FEW, patience: 200 }),
    );
    expect(cells[COLD]).toBe("0, 0, 12 without an answer");
  }, 90_000);
});

describe("the table", () => {
  const cells = { ...RIGHT, [HOST]: "token" };

  test("a row that is not what the page says: a line that names the row, the column and both values", () => {
    const page = markdown([{ name: "remint, fetch", cells: RIGHT }]);
    expect(differences([{ name: "remint, fetch", cells: RIGHT }], page)).toEqual([]);
    expect(differences([{ name: "remint, fetch", cells }], page)).toEqual([
      `Requests, remint, fetch, ${HOST}: docs/numbers.md says "no token", and this run "token"`,
    ]);
  });

  test("a row that the page does not have: a line for each column", () => {
    const lines = differences([{ name: "remint, fetch", cells }], markdown([{ name: "another", cells }]));
    expect(lines).toHaveLength(Object.keys(RIGHT).length);
    expect(lines[0]).toContain("says nothing");
  });

  test("what a package does not claim is marked, and a renewal that it does not claim is not judged", async () => {
    const outcomes = await measure(handWritten("sends nothing again", "sends the token everywhere"), FEW);
    const marked = cellsOf(["sharing"], outcomes);
    expect([marked[COLD], marked[REVOKED], marked[BODIES], marked[HOST]]).toEqual([
      "1, 0",
      "not claimed",
      "not claimed",
      "not claimed: token",
    ]);
  }, 90_000);
});
