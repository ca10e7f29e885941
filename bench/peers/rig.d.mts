/** What a client is told of its servers. */
export interface Servers {
  readonly tokenEndpoint: string;
  readonly issuer: string;
  /** The origin of the API. */
  readonly origin: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly refreshToken: () => string;
}

export interface SentRequest {
  readonly method?: string;
  /** The content type of the body. */
  readonly type?: string;
  /** An object to send as JSON, bytes, or a Node.js stream. */
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Resolves to the status of the answer, or rejects as the client does. */
export type Send = (url: string, request?: SentRequest) => Promise<number>;

export type Client = (servers: Servers) => { readonly send: Send } | Promise<{ readonly send: Send }>;

/** What became of a client in each trial. */
export type Outcomes = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export function measure(
  client: Client,
  options?: {
    readonly callers?: number;
    readonly late?: number;
    readonly failing?: number;
    readonly patience?: number;
  },
): Promise<Outcomes>;
