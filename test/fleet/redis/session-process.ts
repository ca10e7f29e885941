/**
 * A process of a fleet: a program of its own that shares a user's session through Redis, and stands still at one step of a
 * rotation if it is told to. It is started by fleet-refresh-token.test.ts.
 */
import { Redis } from "ioredis";
import { createTokenCache, isRemintError, refreshTokenGrant, type TokenEndpointError } from "../../../src/index.ts";
import { redisStore } from "../../../src/fleet/redis.ts";
import { PORTAL } from "./session-provider.ts";

/** Where it may stand still; what it is about to do has not been done, what it has done has been. */
export type Step = "taking the lease" | "sending" | "answered" | "publishing" | "published";

export interface SessionProcessOptions {
  readonly redisPort: number;
  readonly tokenEndpoint: string;
  readonly refreshToken: string;
  readonly encryptionKey: string;
  readonly lease: number;
  readonly stopAt?: Step | undefined;
}

/** What it is asked. */
export interface Request {
  readonly id: number;
  readonly call: "get" | "renew" | "swaps" | "rotations" | "go";
}

/** What it says. */
export type Said =
  | { readonly at: Step }
  | { readonly id: number; readonly value: unknown }
  | {
      readonly id: number;
      readonly error: { code: string; error?: string | undefined; terminal?: boolean | undefined };
    };

const options = JSON.parse(process.argv[2]!) as SessionProcessOptions;
const redis = new Redis({ host: "127.0.0.1", port: options.redisPort });
let go!: () => void;
const released = new Promise<void>((resolve) => (go = resolve));
let isReached = false;
let swaps = 0;
const rotations: string[] = [];

async function pass(step: Step): Promise<void> {
  if (step !== options.stopAt || isReached) return;
  isReached = true;
  process.send!({ at: step } satisfies Said);
  await released;
}

async function evaluate(script: string, key: string, args: string[]): Promise<unknown> {
  swaps++;
  const phase = args[1]?.[0];
  if (phase === "L") await pass("taking the lease");
  if (phase === "T") await pass("publishing");
  const reply: unknown = await redis.eval(script, 1, key, ...args);
  if (phase === "T") await pass("published");
  return reply;
}

const { lease, encryptionKey, tokenEndpoint } = options;
// No call to a Redis that is there fails on a busy machine.
const store = redisStore(evaluate, { lease, encryptionKey, callTimeout: 5000 });
const cache = createTokenCache({
  origins: ["https://api.example"],
  store,
  grant: refreshTokenGrant({
    ...PORTAL,
    clientAuthentication: "client_secret_post",
    tokenEndpoint,
    key: "user-1",
    refreshToken: options.refreshToken,
    onRotate: (next) => void rotations.push(next),
    fetch: async (url, init) => {
      await pass("sending");
      const answer = await fetch(url, init);
      await pass("answered");
      return answer;
    },
  }),
});

const calls: Record<Request["call"], () => unknown> = {
  get: async () => (await cache.get()).value,
  // What it has may have been replaced by another process: then that is taken over first, and replaced.
  renew: async () => {
    const before = rotations.length;
    let { value } = await cache.get();
    for (let tries = 0; rotations.length === before && tries < 3; tries++) {
      await cache.invalidate(value);
      ({ value } = await cache.get());
    }
    return value;
  },
  swaps: () => swaps,
  rotations: () => rotations.length,
  go,
};

process.on("message", ({ id, call }: Request) => {
  (async () => calls[call]())().then(
    (value: unknown) => process.send!({ id, value } satisfies Said),
    (failure: unknown) => {
      if (!isRemintError(failure)) throw failure;
      const { code, error, terminal } = failure as TokenEndpointError;
      process.send!({ id, error: { code, error, terminal } } satisfies Said);
    },
  );
});
