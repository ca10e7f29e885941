/**
 * The program of one process that serves many users' sessions through Redis and asks for their tokens without end. The tokens
 * live so shortly that some session is always being refreshed. kills.ts starts and kills it.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { redisStore } from "../../../src/fleet/redis.ts";
import {
  createTokenCache,
  createTokenPool,
  isRemintError,
  refreshTokenGrant,
  type TokenEndpointError,
} from "../../../src/index.ts";
import { PORTAL } from "./session-provider.ts";

/** A user, and the refresh token with which the session began. */
export type Seed = readonly [user: string, refreshToken: string];

export interface RefreshingProcessOptions {
  /** The name of the process, which it sends with each token request in the header `x-process`. */
  readonly name: string;
  readonly redisPort: number;
  readonly tokenEndpoint: string;
  readonly encryptionKey: string;
  readonly lease: number;
  readonly seeds: readonly Seed[];
}

/** A message of the test: another user to serve. */
export interface Addition {
  readonly seed: Seed;
}

/** A message to the test. */
export type Report =
  /** The user is served with this token, which is another one than before. */
  | { readonly served: string; readonly token: string }
  /** This refresh token of the user's is in the record now. */
  | { readonly saved: string; readonly refreshToken: string }
  /** Another process has taken the lease over while this one refreshed: it was too slow. */
  | { readonly leaseLost: string }
  /** The user has to sign in again. */
  | { readonly lost: string }
  /** No token for the user, for another reason. */
  | { readonly failed: string; readonly code: string };

/** Milliseconds between two requests of a user. */
const PAUSE = 100;
/** Milliseconds between the first requests of two users. */
const APART = 100;

const options = JSON.parse(process.argv[2]!) as RefreshingProcessOptions;
const seeds = new Map(options.seeds);
const redis = new Redis({ host: "127.0.0.1", port: options.redisPort });
const { lease, encryptionKey, tokenEndpoint } = options;
// The time limit is long, so that no call to Redis fails on a busy machine.
const store = redisStore(redis, { lease, encryptionKey, callTimeout: 5000 });
const report = (message: Report): void => void process.send!(message);

const pool = createTokenPool({
  create: (user) =>
    createTokenCache({
      origins: ["https://api.example"],
      store,
      onEvent: ({ name }) => name === "lease-lost" && report({ leaseLost: user }),
      grant: refreshTokenGrant({
        ...PORTAL,
        clientAuthentication: "client_secret_post",
        tokenEndpoint,
        refreshToken: seeds.get(user)!,
        // With a store this is called when the record is written.
        onRotate: (refreshToken) => report({ saved: user, refreshToken }),
        fetch: (url, init) => {
          const headers = new Headers(init?.headers);
          headers.set("x-process", options.name);
          return fetch(url, { ...init, headers });
        },
      }),
    }),
});

async function serve(user: string): Promise<void> {
  for (let last = ""; ; await sleep(PAUSE * (0.5 + Math.random()))) {
    try {
      const { value } = await pool.get(user).get();
      if (value !== last) report({ served: user, token: value });
      last = value;
    } catch (failure) {
      if (!isRemintError(failure)) throw failure;
      const { code, terminal } = failure as TokenEndpointError;
      if (terminal) return report({ lost: user });
      report({ failed: user, code });
    }
  }
}

process.on("message", ({ seed }: Addition) => {
  seeds.set(...(seed as [string, string]));
  void serve(seed[0]);
});
process.on("disconnect", () => process.exit());
for (const user of seeds.keys()) {
  void serve(user);
  await sleep(APART);
}
