/**
 * The program of one process that shares a user's session through Redis. It waits at one step of a rotation if the test asks
 * for that. refresh-token.test.ts starts it.
 */
import { Redis } from "ioredis";
import { redisStore } from "../../../src/fleet/redis.ts";
import { createTokenCache, isRemintError, refreshTokenGrant, type TokenEndpointError } from "../../../src/index.ts";
import { PORTAL } from "./session-provider.ts";

/**
 * The steps at which the process can wait: before it takes the lease, sends or publishes; when it has the lease; after an
 * answer or a publish.
 */
export type Step = "taking the lease" | "leased" | "sending" | "answered" | "publishing" | "published";

export interface SessionProcessOptions {
  readonly redisPort: number;
  readonly tokenEndpoint: string;
  readonly refreshToken: string;
  readonly encryptionKey: string;
  readonly lease: number;
  readonly stopAt?: Step | undefined;
}

/** A request of the test to the process. */
export interface Request {
  readonly id: number;
  readonly call: "get" | "renew" | "swaps" | "rotations" | "go";
}

/** A message of the process to the test: a step that it has reached, or the answer to a request. */
export type Message =
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

async function reach(step: Step): Promise<void> {
  if (step !== options.stopAt || isReached) return;
  isReached = true;
  process.send!({ at: step } satisfies Message);
  await released;
}

async function evaluate(script: string, key: string, args: string[]): Promise<unknown> {
  swaps++;
  const phase = args[1]?.[1];
  if (phase === "L") await reach("taking the lease");
  if (phase === "T") await reach("publishing");
  const reply: unknown = await redis.eval(script, 1, key, ...args);
  if (phase === "L") await reach("leased");
  if (phase === "T") await reach("published");
  return reply;
}

const { lease, encryptionKey, tokenEndpoint } = options;
// The time limit is long, so that no call to Redis fails on a busy machine.
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
      await reach("sending");
      const answer = await fetch(url, init);
      await reach("answered");
      return answer;
    },
  }),
});

const calls: Record<Request["call"], () => unknown> = {
  get: async () => (await cache.get()).value,
  // Another process may have replaced the token. Then the first call adopts that token, and a later one replaces it.
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
    (value: unknown) => process.send!({ id, value } satisfies Message),
    (failure: unknown) => {
      if (!isRemintError(failure)) throw failure;
      const { code, error, terminal } = failure as TokenEndpointError;
      process.send!({ id, error: { code, error, terminal } } satisfies Message);
    },
  );
});
