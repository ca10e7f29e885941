/** What the tests of undici start from: every undici, and every way to send a request through a dispatcher. */
import * as undici from "undici";
import * as undici6 from "undici-6";
import * as undici690 from "undici-6.9.0";
import * as undici700 from "undici-7.0.0";
import type { RequestOverride } from "remint";

export type Undici = typeof undici;
export type Dispatcher = undici.Dispatcher;

/** By version. The oldest that works, and the newest of each major version. */
export const versions: Readonly<Record<string, Undici>> = {
  "6.9": undici690 as unknown as Undici,
  6: undici6,
  "7.0": undici700 as unknown as Undici,
  7: undici,
};

/** The newest of each major version. */
export const newest: readonly (readonly [version: string, undici: Undici])[] = ["6", "7"].map(
  (version) => [version, versions[version]!] as const,
);

export interface Sent {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly remint?: RequestOverride;
}

export interface Got {
  readonly status: number;
  readonly text: string;
  readonly headers: Readonly<Record<string, unknown>>;
}

/** Sends a request with undici's `request`. */
export async function request(own: Undici, dispatcher: Dispatcher, url: string, sent: Sent = {}): Promise<Got> {
  const options = { dispatcher, ...sent } as NonNullable<Parameters<Undici["request"]>[1]>;
  const { statusCode, headers, body } = await own.request(url, options);
  return { status: statusCode, headers, text: await body.text() };
}

/** Sends a request with a fetch over a dispatcher. */
export async function fetched(
  fetch: (url: string, init: RequestInit) => Promise<Response>,
  dispatcher: Dispatcher,
  url: string,
  sent: Sent = {},
): Promise<Got> {
  const answer = await fetch(url, { dispatcher, duplex: "half", ...sent } as unknown as RequestInit);
  return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
}

/** The ways to send a request, by name. */
export const ways: Readonly<
  Record<string, (own: Undici, dispatcher: Dispatcher, url: string, sent?: Sent) => Promise<Got>>
> = {
  request,
  "undici's fetch": (own, ...rest) => fetched(own.fetch as unknown as typeof fetch, ...rest),
  "Node's fetch": (_own, ...rest) => fetched(fetch, ...rest),
};
