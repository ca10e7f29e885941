import type { AccessToken } from "../../src/index.ts";
import type { ClientSeam, ExtraHeaders } from "../../src/policy/request-policy.ts";
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

/** A client made by hand: everything it was asked to do, in order. */
export interface Client {
  readonly exchange: ClientSeam<Call, Answer>;
  readonly log: string[];
  readonly sent: (AccessToken | undefined)[];
  readonly extra: (ExtraHeaders | undefined)[];
}

export function client(server: Server, more: Partial<ClientSeam<Call, Answer>> = {}): Client {
  const log: string[] = [];
  const sent: (AccessToken | undefined)[] = [];
  const extra: (ExtraHeaders | undefined)[] = [];
  const exchange: ClientSeam<Call, Answer> = {
    async send(_, token, headers) {
      log.push(`send ${token?.value ?? "bare"}`);
      extra.push(headers);
      return server(token?.value, sent.push(token));
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
  return { exchange, log, sent, extra };
}

export const ORDERS = `${ORIGIN}/orders`;
export const ok: Answer = { status: 200 };
export const no: Answer = { status: 401 };
/** Accepts these tokens and no others. */
export const only =
  (...live: string[]): Server =>
  (token) =>
    token !== undefined && live.includes(token) ? ok : no;

/** A cache with fake-1 in it. */
export async function warm(options: Parameters<typeof cacheUnderTest>[0] = {}): Promise<CacheUnderTest> {
  const under = cacheUnderTest(options);
  await under.cache.get();
  return under;
}
