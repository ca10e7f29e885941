/**
 * axios' config as the adapter sees it: structural, because its type differs between versions and copies.
 *
 * @module
 */

/** The parts of an axios config that are read or written; structural, because its type differs between versions. */
export interface AxiosCallConfig {
  url?: string | undefined;
  method?: string | undefined;
  baseURL?: string | undefined;
  allowAbsoluteUrls?: boolean | undefined;
  headers: Record<string, unknown>;
  data?: unknown;
  auth?: unknown;
  adapter?: unknown;
  timeout?: number | string | undefined;
  timeoutErrorMessage?: string | undefined;
  transitional?: { clarifyTimeoutError?: boolean | undefined } | undefined;
  signal?: AxiosSignal | undefined;
  cancelToken?: AxiosCancelToken | undefined;
  beforeRedirect?: BeforeRedirect | undefined;
  remint?: unknown;
}

/** axios' idea of an AbortSignal. */
interface AxiosSignal {
  readonly aborted: boolean;
  readonly reason?: unknown;
  addEventListener?(event: "abort", listener: () => void): void;
  removeEventListener?(event: "abort", listener: () => void): void;
}

interface AxiosCancelToken {
  readonly reason?: unknown;
  subscribe(listener: (reason: unknown) => void): void;
  unsubscribe(listener: (reason: unknown) => void): void;
}

type BeforeRedirect = (options: RedirectOptions, ...rest: unknown[]) => void;

interface RedirectOptions {
  readonly href?: string;
  readonly headers?: Record<string, unknown>;
}

/** What a call has to know of the axios that will send it. */
export interface AxiosFacts {
  /** Builds the error this axios itself would reject with, were all of `timeout` spent on one send by `send`. */
  timeoutError(config: AxiosCallConfig, timeout: number, send: AxiosSend): Error;
  /** axios before 1.21 forwards `Authorization` to subdomains when it follows a redirect (Q3). */
  readonly forwardsToSubdomains: boolean;
  /** axios before 1.8.2 does not know `allowAbsoluteUrls: false`: an absolute URL wins over `baseURL` (Q2). */
  readonly absoluteUrlsWin: boolean;
  /** Set when the config comes from another copy of axios than the adapter: sends it in words the adapter knows. */
  readonly translate?: ((send: AxiosSend, config: AxiosCallConfig) => Promise<unknown>) | undefined;
}

/** An adapter, as axios resolves it. */
export type AxiosSend = (config: never) => Promise<unknown>;
