/** The script of the page: one cache, and every client that works in a browser. browser.test.ts bundles it. */
import axios, { type AxiosInstance } from "axios";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";

export type ClientName = "fetch" | "ofetch" | "axios/xhr" | "axios/fetch";

export interface Request {
  readonly url: string;
  readonly method?: string;
  readonly json?: object;
  /** Sent as a Blob. */
  readonly blob?: string;
  readonly baseURL?: string;
  /** An origin to allow beside the page's own. */
  readonly origin?: string;
}

export interface Outcome {
  readonly status?: number;
  readonly text?: string;
  /** Every printed form of the error that was thrown. */
  readonly thrown?: string;
}

type Call = (request: Request) => Promise<Outcome>;

let tokens: TokenCache | undefined;

/** Returns the cache of the page, which the first request creates. */
function cacheFor({ origin }: Request): TokenCache {
  return (tokens ??= createTokenCache({
    grant: clientCredentialsGrant({
      tokenEndpoint: `${location.origin}/token`,
      clientId: "page",
      clientSecret: "s3cret",
    }),
    origins: [location.origin, ...(origin === undefined ? [] : [origin])],
  }));
}

function bodyOf({ json, blob }: Request): string | Blob | undefined {
  if (blob !== undefined) return new Blob([blob], { type: "text/plain" });
  return json === undefined ? undefined : JSON.stringify(json);
}

const overFetch: Call = async (request) => {
  const { url, method = "GET", baseURL = "" } = request;
  const response = await createAuthFetch(cacheFor(request))(baseURL + url, { method, body: bodyOf(request) ?? null });
  return { status: response.status, text: await response.text() };
};

const overOfetch: Call = async (request) => {
  const { url, method = "GET", baseURL = "" } = request;
  const api = createAuthOfetch(cacheFor(request), { baseURL, ignoreResponseError: true, responseType: "text" });
  const response = await api.raw<string, "text">(url, { method, body: bodyOf(request) ?? null });
  return { status: response.status, text: String(response["_data"]) };
};

const overAxios =
  (adapter: "xhr" | "fetch"): Call =>
  async (request) => {
    const { url, method = "get", json, baseURL = "" } = request;
    const client: AxiosInstance = axios.create({ adapter, baseURL, responseType: "text" });
    client.interceptors.request.use(createAuthInterceptor(cacheFor(request)));
    const { status, data } = await client.request<string>({ url, method, data: json ?? bodyOf(request) });
    return { status, text: data };
  };

const clients: Record<ClientName, Call> = {
  fetch: overFetch,
  ofetch: overOfetch,
  "axios/xhr": overAxios("xhr"),
  "axios/fetch": overAxios("fetch"),
};

/** Sends one request, and returns its outcome in a form that can leave the page. */
export async function call(name: ClientName, request: Request): Promise<Outcome> {
  try {
    return await clients[name](request);
  } catch (error) {
    const { response, config, stack } = error as { response?: { status: number; data: string } } & Record<
      string,
      unknown
    >;
    const thrown = [
      String(error),
      String(stack),
      ...[error, config, response].map((part) => JSON.stringify(part)),
    ].join();
    return { thrown, ...(response && { status: response.status, text: response.data }) };
  }
}

Object.assign(globalThis, { call });
