/**
 * How much memory a user of a pool takes who does nothing: signed in, with a token, and no request in progress.
 *
 * Run by hand: `node --expose-gc --import tsx test/core/idle-memory.ts`. At rest there must be no timer, no listener and no
 * controller, which idle.test.ts asserts; a user should take 7 kB at most.
 */
import {
  createTokenCache,
  createTokenPool,
  refreshTokenGrant,
  type TokenCache,
  type TokenPool,
} from "../../src/index.ts";

const USERS = 10_000;
const BUDGET = 7 * 1024;

/** A JWT as servers issue them is about a kilobyte long. The values differ, so that none is shared. */
const tokenOf = (user: string, kind: string): string => `${kind}-${user}-`.padEnd(kind === "at" ? 900 : 60, "x");

/** The token endpoint. */
const answer = async (_: string, { body }: RequestInit): Promise<Response> => {
  const refreshToken = new URLSearchParams(body as string).get("refresh_token")!;
  const [, user = ""] = refreshToken.split("-");
  const tokens = { access_token: tokenOf(user, "at"), refresh_token: tokenOf(user, "rt") };
  return Response.json({ ...tokens, token_type: "Bearer", expires_in: 3600 });
};

const create = (user: string): TokenCache =>
  createTokenCache({
    origins: ["https://api.example"],
    grant: refreshTokenGrant({
      tokenEndpoint: "https://auth.example/token",
      clientId: "portal",
      clientSecret: "s3cret",
      fetch: answer,
      refreshToken: () => tokenOf(user, "rt"),
      onRotate: () => {},
    }),
  });

function pool(): TokenPool {
  return createTokenPool({ create });
}

function heapUsed(): number {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("run it with --expose-gc");
  for (let round = 0; round < 5; round++) gc();
  return process.memoryUsage().heapUsed;
}

/** Lets what has settled go: promises, and the answers of the server. */
const rest = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 200));

const users = pool();
// Whatever is loaded or compiled once is no user's.
for (let user = 0; user < 100; user++) await users.get(`warmup${user}`).get();
await rest();
const before = heapUsed();
for (let user = 0; user < USERS; user++) await users.get(`user${user}`).get();
await rest();
const perUser = Math.round((heapUsed() - before) / USERS);
const handles = process.getActiveResourcesInfo().filter((kind) => !/TTY|Pipe|Immediate/.test(kind));
console.log(
  `${perUser} bytes per user at rest (budget ${BUDGET}), ${users.size} caches, handles: ${handles.join(" ") || "none"}`,
);
process.exitCode = perUser <= BUDGET ? 0 : 1;
