/** What is tested of every server: what it answers to an error of ours, and that it lives on. */
import { startAuthServer, type AuthServer } from "remint/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ANSWERS, CLIENTS, SECRETS, type FailureName } from "./calls.mjs";
import { startServer, type ServerProcess } from "./server-process.ts";

/** What a framework does with an error of ours in production. */
export interface Framework {
  readonly name: string;
  /** The server in `servers.mjs`. */
  readonly server: string;
  /** How much of the error it answers by itself, or by the one line that its server has. */
  readonly answers: "status and headers" | "status";
  /** The body that it writes, where it shows the message. @defaultValue nothing of ours */
  readonly body?: (answer: Expected) => unknown;
  /** It logs the stack by itself. @defaultValue it logs nothing, or it is not known */
  readonly logsStack?: boolean;
  /** It has a second route that lets the error escape, and answers 500 there. */
  readonly hasUncaught?: boolean;
}

/** What an error of ours says of itself. */
export interface Expected {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly code: string;
  /** Public. */
  readonly message: string;
}

const FAILED = "no token is available: the authorization server";
export const EXPECTED: Readonly<Record<FailureName, Expected & { readonly input: string }>> = {
  unavailable: {
    input: "the endpoint answers 503 with Retry-After: 7",
    status: 503,
    headers: { "retry-after": "7" },
    code: "ERR_TOKEN_ENDPOINT",
    message: `${FAILED} failed`,
  },
  refused: {
    input: "the endpoint answers 401 invalid_client",
    status: 503,
    headers: {},
    code: "ERR_TOKEN_ENDPOINT",
    message: `${FAILED} refused the request`,
  },
  unreachable: {
    input: "the endpoint closes the connection",
    status: 503,
    headers: {},
    code: "ERR_TOKEN_NETWORK",
    message: `${FAILED} did not answer`,
  },
  ended: {
    input: "the endpoint answers 400 invalid_grant to a refresh token",
    status: 401,
    headers: { "www-authenticate": "Bearer" },
    code: "ERR_TOKEN_ENDPOINT",
    message: `${FAILED} refused the request`,
  },
};
const FAILURES = Object.keys(EXPECTED) as FailureName[];
/** Headers that only an error of ours can have brought into an answer. */
const HEADERS = ["retry-after", "www-authenticate"];

/** Words of our messages, hints, codes, URLs, descriptions and stacks. */
const OURS =
  /token|grant|remint|hint|ERR_|authorization|client-7|invalid_|unavailable:|db7|127\.0\.0\.1|localhost|https?:|node_modules|\bat .*:\d/i;

const cases = CLIENTS.flatMap((client) => FAILURES.map((failure) => ({ client, failure, ...EXPECTED[failure] })));

/** Defines the tests of one framework. */
export function describeFramework(framework: Framework): void {
  const { name, body, answers, hasUncaught = false, logsStack = false } = framework;

  describe(name, () => {
    let auth: AuthServer;
    let server: ServerProcess;

    beforeAll(async () => {
      auth = await startAuthServer();
      auth.respondAlways(({ path }) => ANSWERS[path]);
      server = await startServer(framework.server, auth.origin);
    });
    afterAll(async () => {
      await server?.stop();
      await auth?.close();
    });

    for (const { client, failure, input, ...expected } of cases) {
      test(`Q17: ${client}, and ${input}: ${expected.status}, twice`, async () => {
        const before = auth.requests.length;
        for (let request = 1; request <= 2; request++) {
          const response = await fetch(`${server.origin}/${client}/${failure}`);
          const text = await response.text();
          expect(response.status, text).toBe(expected.status);
          for (const header of HEADERS) {
            const value = expected.headers[header] ?? null;
            // What h3 1, Nest and hapi do with the headers is not promised, but they must not invent any.
            const allowed = answers === "status and headers" ? [value] : [value, null];
            expect(allowed, header).toContain(response.headers.get(header));
          }
          if (body === undefined) expect(text).not.toMatch(OURS);
          else expect(JSON.parse(text)).toEqual(body(expected));
          expect(server.isAlive, server.output).toBe(true);
        }
        // The second request was told of the failure that is remembered.
        expect(auth.requests.length - before).toBe(1);
      });

      if (!hasUncaught) continue;
      test(`Q17: ${client}, and ${input}, and nothing catches the error: 500, twice`, async () => {
        for (let request = 1; request <= 2; request++) {
          const response = await fetch(`${server.origin}/uncaught/${client}/${failure}`);
          expect(response.status).toBe(500);
          expect(await response.text()).not.toMatch(OURS);
          expect(server.isAlive, server.output).toBe(true);
        }
      });
    }

    test("S5: what it has logged holds no secret", () => {
      expect(SECRETS.filter((secret) => server.output.includes(secret))).toEqual([]);
    });

    if (!logsStack) return;
    test("Q17: what it has logged tells the operator what to look at", async () => {
      // One line for each request that failed. Fastify logs an answer 401 on a level that is switched off.
      for (const what of [`${auth.origin}/unavailable`, `${auth.origin}/refused`, "invalid_client"]) {
        const hints = (): string[] =>
          server.output.split("\n").filter((line) => line.includes("hint: ") && line.includes(what));
        await expect.poll(() => hints().length, { timeout: 5000 }).toBeGreaterThanOrEqual(2 * CLIENTS.length);
      }
    });
  });
}
