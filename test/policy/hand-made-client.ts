/** A client of the request policy that is made by hand and talks to a function instead of a server. */
import type { ClientSeam, TokenHeaders } from "../../src/policy/client-seam.ts";
import { cacheUnderTest, ORIGIN, type CacheUnderTest } from "../core/cache-under-test.ts";

export interface Call {
  readonly url: string;
  readonly method?: string;
  readonly signal?: AbortSignal;
  readonly retry?: boolean;
  readonly oneShot?: boolean;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly finalUrl?: string;
}

export type Server = (token: string | undefined, send: number) => Answer | Promise<Answer>;

/** The client, and a record of everything the policy asked it to do, oldest first. */
export interface Client {
  readonly seam: ClientSeam<Call, Answer>;
  readonly log: string[];
  /** The tokens of the sends. */
  readonly sent: (string | undefined)[];
  /** The headers of the sends beside `authorization`. */
  readonly extra: (TokenHeaders | undefined)[];
}

export function client(server: Server, more: Partial<ClientSeam<Call, Answer>> = {}): Client {
  const log: string[] = [];
  const sent: (string | undefined)[] = [];
  const extra: (TokenHeaders | undefined)[] = [];
  const seam: ClientSeam<Call, Answer> = {
    async send(_, headers) {
      const { authorization, ...others } = headers ?? {};
      const token = authorization?.split(" ")[1];
      log.push(`send ${token ?? "bare"}`);
      extra.push(Object.keys(others).length === 0 ? undefined : others);
      return server(token, sent.push(token));
    },
    status: (answer) => answer.status,
    header: (answer, name) => answer.headers?.[name.toLowerCase()] ?? null,
    text: async (answer, maxBytes) => (answer.body ?? "").slice(0, maxBytes),
    finalUrl: (answer) => answer.finalUrl,
    canResend: (call) => !call.oneShot,
    discard: (answer) => void log.push(`discard ${answer.status}`),
    finish: (_, outcome) =>
      void log.push(`finish ${outcome instanceof Error ? outcome.message : String((outcome as Answer).status)}`),
    ...more,
  };
  return { seam, log, sent, extra };
}

export const ORDERS = `${ORIGIN}/orders`;
export const ok: Answer = { status: 200 };
export const unauthorized: Answer = { status: 401 };
/** Accepts these tokens and no others. */
export const acceptOnly =
  (...live: string[]): Server =>
  (token) =>
    token !== undefined && live.includes(token) ? ok : unauthorized;

/** Creates a cache that holds fake-1. */
export async function warmCache(options: Parameters<typeof cacheUnderTest>[0] = {}): Promise<CacheUnderTest> {
  const under = cacheUnderTest(options);
  await under.cache.get();
  return under;
}

/** An object that can be awaited and is no promise, as some libraries return. */
export function thenable<T>(
  then: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
): PromiseLike<T> {
  // oxlint-disable-next-line unicorn/no-thenable -- this is what it is for
  return { then } as PromiseLike<T>;
}
