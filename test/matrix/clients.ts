/**
 * The clients of the contract and of the matrix, behind one interface, so that one list of cases holds for all of them.
 * Runs everywhere: no `node:` imports, and no client is imported here.
 *
 * A reply with a status is a {@link Reply}, whether the client returned it or threw it. Anything else is thrown.
 */
import type { AxiosInstance, AxiosResponse, AxiosStatic, CreateAxiosDefaults } from "axios";
import type { $Fetch, FetchResponse } from "ofetch";
import { isRemintError, type RejectionRule, type RequestOverride, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { type AuthFetchOptions, createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { createAuthInterceptor as createUndiciInterceptor } from "remint/undici";
import type { OneConnection } from "../adapters/one-connection.ts";
import { hexOf } from "./describe.ts";

export type Family =
  | "fetch"
  | "ofetch"
  | "axios/http"
  | "axios/fetch"
  | "axios/xhr"
  /** `request` of undici. */
  | "undici/request"
  /** A fetch whose requests go through a dispatcher of undici. */
  | "undici/fetch";

/** The module of undici, in any version. */
export type UndiciModule = Pick<
  typeof import("undici"),
  "Agent" | "FormData" | "request" | "stream" | "pipeline" | "interceptors"
>;
type Dispatcher = import("undici").Dispatcher;

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
  /** Whether to take the response's body as bytes. Its text is then hexadecimal. */
  readonly bytes?: boolean;
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

/** A fetch, and the classes that fit it. */
export interface FetchKind {
  /** By default the global one, looked up at every call. */
  readonly fetch?: typeof globalThis.fetch;
  readonly Request: typeof globalThis.Request;
  readonly Headers: typeof globalThis.Headers;
  readonly FormData: typeof globalThis.FormData;
}

/** The client itself, as a user calls it. Of the members only the one of the family is there. */
export interface Opened {
  readonly fetch?: typeof globalThis.fetch;
  readonly ofetch?: $Fetch;
  readonly axios?: AxiosInstance;
  /** The dispatcher, with the interceptors, and the module that it is of. */
  readonly undici?: { readonly dispatcher: Dispatcher; readonly module: UndiciModule };
}

export interface TestClient<Name extends string = string> {
  readonly name: Name;
  readonly family: Family;
  /** The fetch and its classes that the client sends with; the global ones for axios. */
  readonly kind: FetchKind;
  /** The module, for axios. */
  readonly axios?: AxiosStatic;
  /** The module, for undici. */
  readonly undici?: UndiciModule;
  /** Opens the client with remint, or alone if there is no source. */
  readonly open: (source: Source | undefined, setup?: Setup) => Opened;
  readonly connect: (source: Source | undefined, setup?: Setup) => Call;
  /** Whether the client rejects with this error when the caller aborts for this reason. */
  readonly isAbort: (error: unknown, reason: unknown) => boolean;
  /** The client's own way to send an object as JSON. */
  readonly json: (value: object) => Pick<Sent, "body" | "headers">;
  /** Options that let every status through without an error. */
  readonly permissive: Record<string, unknown>;
  /** Options that stop the client's own retries: ofetch tries every failed GET twice. */
  readonly once: Record<string, unknown>;
}

/** The fetch of the platform. */
export const globalKind: FetchKind = { Request, Headers, FormData };

export function fetchClient<Name extends string>(name: Name, kind: FetchKind = globalKind): TestClient<Name> {
  const open = (source: Source | undefined, setup: Setup = {}): Opened => {
    const own = setup.through?.fetch ?? kind.fetch;
    // Called as a function: pages and workerd refuse a fetch that is called as a method of something else.
    const send = (own ?? globalThis.fetch) as (...args: unknown[]) => Promise<Response>;
    if (source === undefined) return { fetch: (...args: unknown[]) => send(...args) };
    const fetch = createAuthFetch(source, fetchOptions(setup, beneathFetch(setup, own) ?? own));
    return { fetch };
  };
  return {
    name,
    family: "fetch",
    kind,
    open,
    connect(source, setup) {
      const { fetch } = open(source, setup);
      // Not async, so that a synchronous throw of our fetch would fail the test.
      return (url, sent = {}) =>
        fetch!(url, initOf(sent)).then(async (response) => ({
          status: response.status,
          text: sent.bytes ? hexOf(new Uint8Array(await response.arrayBuffer())) : await response.text(),
          response,
        }));
    },
    isAbort: (error, reason) => error === reason,
    json: (value) => ({ body: JSON.stringify(value), headers: { "content-type": "application/json" } }),
    permissive: {},
    once: {},
  };
}

export function ofetchClient<Name extends string>(name: Name, ofetch: $Fetch): TestClient<Name> {
  const open = (source: Source | undefined, setup: Setup = {}): Opened => {
    const defaults = { ...setup.defaults };
    if (source === undefined) return { ofetch: ofetch.create(defaults) };
    const fetch = beneathFetch(setup) ?? setup.through?.fetch;
    return { ofetch: createAuthOfetch(source, defaults, { ...fetchOptions(setup, fetch), ofetch }) };
  };
  return {
    name,
    family: "ofetch",
    kind: globalKind,
    open,
    connect(source, setup) {
      const api = open(source, setup).ofetch!;
      return async (url, sent = {}) => {
        const responseType = sent.stream ? "stream" : sent.bytes ? "arrayBuffer" : "text";
        const options = { responseType, ...initOf(sent) } as const;
        try {
          const response = await api.raw<unknown>(url, options as object);
          return { status: response.status, text: await textOf(dataOf(response)), response };
        } catch (error) {
          const { name: kind, response } = Object(error) as { name?: string; response?: FetchResponse<unknown> };
          if (kind !== "FetchError" || response === undefined) throw error;
          return { status: response.status, text: await textOf(dataOf(response)), response, error };
        }
      };
    },
    isAbort: (error, reason) => (error as Error).name === "FetchError" && (error as Error).cause === reason,
    json: (value) => ({ body: value }),
    permissive: { ignoreResponseError: true },
    once: { retry: 0 },
  };
}

export function axiosClient<Name extends string>(
  name: Name,
  axios: AxiosStatic,
  adapter: "http" | "fetch" | "xhr",
): TestClient<Name> {
  const open = (source: Source | undefined, setup: Setup = {}): Opened => {
    const { beneath, isRejected, inspectStatuses, through, defaults } = setup;
    const pool = { httpAgent: through?.agent, env: through?.env } as CreateAxiosDefaults;
    const instance = axios.create({ adapter, ...(through && pool), ...defaults });
    const options = { axios, isRejected, inspectStatuses };
    for (const each of [source, beneath]) {
      if (each !== undefined) instance.interceptors.request.use(createAuthInterceptor(byConfig(each), options));
    }
    return { axios: instance };
  };
  return {
    name,
    family: `axios/${adapter}`,
    kind: globalKind,
    axios,
    open,
    connect(source, setup) {
      const instance = open(source, setup).axios!;
      return async (url, { body, stream, bytes, own, headers, ...rest } = {}) => {
        const responseType = stream ? "stream" : bytes ? "arraybuffer" : "text";
        const config = { url, data: body, responseType, headers: headers as object, ...rest, ...own } as const;
        try {
          const response = await instance.request<unknown>(config);
          return { status: response.status, text: await textOf(response.data), response };
        } catch (error) {
          const { response } = Object(error) as { response?: AxiosResponse<unknown> };
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

/**
 * A client of undici.
 *
 * @param kind The fetch that sends through the dispatcher; undefined for undici's `request`.
 */
export function undiciClient<Name extends string>(
  name: Name,
  undici: UndiciModule,
  kind?: FetchKind,
): TestClient<Name> {
  let agent: Dispatcher | undefined;
  const open = (source: Source | undefined, setup: Setup = {}): Opened => {
    const { beneath, isRejected, inspectStatuses, through } = setup;
    let dispatcher = through?.dispatcher ?? (agent ??= new undici.Agent());
    for (const each of [beneath, source]) {
      if (each === undefined) continue;
      dispatcher = dispatcher.compose(createUndiciInterceptor(each, { isRejected, inspectStatuses }));
    }
    // fetch follows redirects itself.
    if (kind === undefined) dispatcher = dispatcher.compose(undici.interceptors.redirect({ maxRedirections: 5 }));
    const send = kind?.fetch ?? globalThis.fetch;
    const fetch = ((input: string | Request, init?: RequestInit) =>
      send(input, { ...init, dispatcher } as RequestInit)) as typeof globalThis.fetch;
    return { undici: { dispatcher, module: undici }, ...(kind && { fetch }) };
  };
  return {
    name,
    family: kind === undefined ? "undici/request" : "undici/fetch",
    kind: kind ?? { ...globalKind, FormData: undici.FormData as unknown as FetchKind["FormData"] },
    undici,
    open,
    connect(source, setup) {
      const { fetch, undici: opened } = open(source, setup);
      return async (url, { stream: _stream, bytes, own, ...sent } = {}) => {
        const asText = async (body: { text(): Promise<string>; arrayBuffer(): Promise<ArrayBuffer> }) =>
          bytes ? hexOf(new Uint8Array(await body.arrayBuffer())) : body.text();
        if (fetch === undefined) {
          const options = { dispatcher: opened!.dispatcher, ...sent, ...own } as Parameters<typeof undici.request>[1];
          const { body, ...response } = await undici.request(url, options);
          return { status: response.statusCode, text: await asText(body), response };
        }
        try {
          const response = await fetch(url, initOf({ ...sent, ...(own && { own }) }));
          return { status: response.status, text: await asText(response), response };
        } catch (error) {
          // fetch puts an error of its dispatcher into a TypeError. Those of the network stay there.
          const { cause } = Object(error) as Error;
          throw isRemintError(cause) || cause instanceof TypeError ? cause : error;
        }
      };
    },
    isAbort: (error, reason) => error === reason,
    json: (value) => ({ body: JSON.stringify(value), headers: { "content-type": "application/json" } }),
    permissive: {},
    once: {},
  };
}

function fetchOptions({ isRejected, inspectStatuses }: Setup, fetch: AuthFetchOptions["fetch"]): AuthFetchOptions {
  return { isRejected, inspectStatuses, fetch };
}

function beneathFetch({ beneath, through }: Setup, own?: AuthFetchOptions["fetch"]): AuthFetchOptions["fetch"] {
  return beneath === undefined ? undefined : createAuthFetch(beneath, { fetch: through?.fetch ?? own });
}

/** The init for fetch and ofetch; undici needs `duplex` for streams. */
function initOf({ stream: _stream, bytes: _bytes, own, ...init }: Sent): object {
  return { duplex: "half", ...init, ...own };
}

function byConfig(source: Source): Parameters<typeof createAuthInterceptor>[0] {
  return typeof source === "function" ? (config) => source(String(config.url)) : source;
}

/** Returns the body that ofetch has read. */
function dataOf({ _data: data }: FetchResponse<unknown>): unknown {
  return data;
}

async function textOf(data: unknown): Promise<string> {
  if (data === undefined || data === null) return "";
  if (typeof data === "string") return data;
  if (data instanceof ArrayBuffer) return hexOf(new Uint8Array(data));
  if (ArrayBuffer.isView(data)) return hexOf(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  // An answer that axios has parsed although it was asked for text.
  if (typeof (data as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] !== "function")
    return JSON.stringify(data);
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of data as AsyncIterable<Uint8Array>) text += decoder.decode(chunk, { stream: true });
  return text + decoder.decode();
}
