/**
 * The clients of the contract, behind one interface, so that one list of cases (contract.ts) holds for all of them.
 *
 * A reply with a status is a {@link Reply}, whether the client returned it or threw it. Anything else is thrown.
 */
import axios, { type AxiosInstance, type AxiosResponse, type CreateAxiosDefaults } from "axios";
import { FetchError, type FetchResponse } from "ofetch";
import type { RejectionRule, RequestOverride, TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { type AuthFetchOptions, createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import type { OneConnection } from "./one-connection.ts";

export type ClientName = "fetch" | "ofetch" | "axios/http" | "axios/fetch";

/** A source in a form that fits every client. */
export type Source =
  | TokenCache
  | readonly TokenCache[]
  | ((url: string) => TokenCache | undefined | Promise<TokenCache | undefined>);

/** A request, independent of the client. */
export interface Sent {
  readonly method?: string;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
  readonly remint?: RequestOverride;
  /** Whether to take the response's body as a stream. */
  readonly stream?: boolean;
  /** Options that only this client has; they take precedence. */
  readonly own?: Record<string, unknown>;
}

/** An answer, independent of the client. */
export interface Reply {
  readonly status: number;
  readonly text: string;
  /** The client's own response. */
  readonly response: unknown;
  /** The client's error, if it throws on this status. */
  readonly error?: unknown;
}

export type Call = (url: string, sent?: Sent) => Promise<Reply>;

export interface Setup {
  /** A second source: another interceptor, or a `fetch` beneath the first. */
  readonly beneath?: Source;
  readonly isRejected?: RejectionRule;
  readonly inspectStatuses?: readonly number[];
  /** The connection that all requests share. */
  readonly through?: OneConnection;
  /** Defaults of the client (`axios.create`, ofetch's second argument). */
  readonly defaults?: Record<string, unknown>;
}

export interface TestClient {
  readonly name: ClientName;
  readonly connect: (source: Source, setup?: Setup) => Call;
  /** Whether the client rejects with this error when the caller aborts for this reason. */
  readonly isAbort: (error: unknown, reason: unknown) => boolean;
  /** The client's own way to send an object as JSON. */
  readonly json: (value: object) => Pick<Sent, "body" | "headers">;
  /** Options that let every status through without an error. */
  readonly permissive: Record<string, unknown>;
  /** Options that stop the client's own retries: ofetch tries every failed GET twice. */
  readonly once: Record<string, unknown>;
}

function fetchOptions({ isRejected, inspectStatuses, through }: Setup, beneath?: AuthFetchOptions["fetch"]) {
  return { isRejected, inspectStatuses, fetch: beneath ?? through?.fetch } satisfies AuthFetchOptions;
}

function beneathFetch(setup: Setup): AuthFetchOptions["fetch"] {
  const { beneath, through } = setup;
  return beneath === undefined ? undefined : createAuthFetch(beneath, { fetch: through?.fetch });
}

/** The init for fetch and ofetch; undici needs `duplex` for streams. */
function initOf({ stream: _stream, own, ...init }: Sent): object {
  return { duplex: "half", ...init, ...own };
}

const fetchClient: TestClient = {
  name: "fetch",
  connect(source, setup = {}) {
    const authFetch = createAuthFetch(source, fetchOptions(setup, beneathFetch(setup)));
    // Not async, so that a synchronous throw of authFetch would fail the test.
    return (url, sent = {}) =>
      authFetch(url, initOf(sent)).then(async (response) => ({
        status: response.status,
        text: await response.text(),
        response,
      }));
  },
  isAbort: (error, reason) => error === reason,
  json: (value) => ({ body: JSON.stringify(value), headers: { "content-type": "application/json" } }),
  permissive: {},
  once: {},
};

const ofetchClient: TestClient = {
  name: "ofetch",
  connect(source, setup = {}) {
    const api = createAuthOfetch(source, { ...setup.defaults }, fetchOptions(setup, beneathFetch(setup)));
    return async (url, sent = {}) => {
      const options = { responseType: sent.stream ? "stream" : "text", ...initOf(sent) } as const;
      try {
        const response = await api.raw<unknown>(url, options as object);
        return { status: response.status, text: await textOf(dataOf(response)), response };
      } catch (error) {
        const response = error instanceof FetchError ? error.response : undefined;
        if (response === undefined) throw error;
        return { status: response.status, text: await textOf(dataOf(response)), response, error };
      }
    };
  },
  isAbort: (error, reason) => error instanceof FetchError && error.cause === reason,
  json: (value) => ({ body: value }),
  permissive: { ignoreResponseError: true },
  once: { retry: 0 },
};

/** Creates an axios instance with the interceptors, for tests that need the instance itself. */
export function axiosWith(adapter: "http" | "fetch", source: Source, setup: Setup = {}): AxiosInstance {
  const { beneath, isRejected, inspectStatuses, through, defaults } = setup;
  const pool = { httpAgent: through?.agent, env: through?.env } as CreateAxiosDefaults;
  const instance = axios.create({ adapter, ...(through && pool), ...defaults });
  const options = { isRejected, inspectStatuses };
  for (const each of [source, beneath]) {
    if (each !== undefined) instance.interceptors.request.use(createAuthInterceptor(byConfig(each), options));
  }
  return instance;
}

function byConfig(source: Source): Parameters<typeof createAuthInterceptor>[0] {
  return typeof source === "function" ? (config) => source(String(config.url)) : source;
}

function axiosClient(adapter: "http" | "fetch"): TestClient {
  return {
    name: `axios/${adapter}`,
    connect(source, setup) {
      const instance = axiosWith(adapter, source, setup);
      return async (url, { body, stream, own, headers, ...rest } = {}) => {
        const responseType = stream ? "stream" : "text";
        const config = { url, data: body, responseType, headers: headers as object, ...rest, ...own } as const;
        try {
          const response = await instance.request<unknown>(config);
          return { status: response.status, text: await textOf(response.data), response };
        } catch (error) {
          const { response } = error as { response?: AxiosResponse<unknown> };
          if (response === undefined) throw error;
          return { status: response.status, text: await textOf(response.data), response, error };
        }
      };
    },
    isAbort: (error) => axios.isCancel(error),
    json: (value) => ({ body: value }),
    permissive: { validateStatus: () => true },
    once: {},
  };
}

/** Returns the body that ofetch has read. */
function dataOf({ _data: data }: FetchResponse<unknown>): unknown {
  return data;
}

async function textOf(data: unknown): Promise<string> {
  if (data === undefined || data === null) return "";
  if (typeof data === "string") return data;
  const chunks: Uint8Array[] = [];
  for await (const chunk of data as AsyncIterable<Uint8Array>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

export const clients: readonly TestClient[] = [fetchClient, ofetchClient, axiosClient("http"), axiosClient("fetch")];
