/**
 * One request to an authorization server and its answer, read and not judged: S2 (no redirects) and S3 (1 MiB) are kept
 * here.
 *
 * @module
 */
import { tokenResponseError } from "../core/access-token.ts";
import { isRemintError, RemintError } from "../base/errors.ts";
import { CREDENTIAL_NAME, redactedCause, type Redact } from "./redaction.ts";
import { TOKEN_ENDPOINT, type EndpointRole, type TokenAnswer } from "./answer.ts";

/** The part of `fetch` that a token request uses; every fetch has it. */
export type TokenFetch = (url: string, init: RequestInit) => Promise<Response>;

/** S3. Token responses are a few kB. */
const LONGEST_BODY = 1024 * 1024;

/** What goes out and is, or may be, a credential: known by its name, or a header too long for a mere setting. */
export function sentCredentials(url: string, headers: Record<string, string>, body: URLSearchParams): string[] {
  const parameters = [...new URL(url).searchParams, ...body].filter(([name]) => CREDENTIAL_NAME.test(name));
  const fields = Object.entries(headers).filter(
    ([name, value]) => CREDENTIAL_NAME.test(name) || (value.length >= 40 && name !== "content-type"),
  );
  return [...parameters, ...fields].map(([, value]) => value.replace(/^Basic /, ""));
}

/** What {@link postToken} needs beside the request. */
export interface PostContext {
  /** Origin and path of the endpoint, for messages. */
  readonly endpoint: string;
  /** @defaultValue the token endpoint */
  readonly role?: EndpointRole | undefined;
  readonly fetch: TokenFetch | undefined;
  readonly redact: Redact;
}

/**
 * Sends a request to a token endpoint, or to another endpoint of the authorization server, and reads the answer.
 *
 * @throws {RemintError} `ERR_TOKEN_NETWORK`, retryable, without an answer; `ERR_TOKEN_RESPONSE` after a redirect. When the
 *   request's signal fires: its reason, unwrapped.
 */
export async function postToken(context: PostContext, url: string, init: RequestInit): Promise<TokenAnswer> {
  const { endpoint, redact, role = TOKEN_ENDPOINT } = context;
  try {
    // Looked up now and not at import: msw, Next.js and APM agents replace it later.
    const response = await (context.fetch ?? globalThis.fetch)(url, init);
    if (isRedirect(response)) {
      abandon(response.body);
      throw redirectRefused(role, endpoint, response.status);
    }
    const { status, headers } = response;
    return { endpoint, role, status, headers, body: await readBody(response), redact };
  } catch (error) {
    if (init.signal?.aborted === true) throw init.signal.reason;
    if (isRemintError(error)) throw error;
    const message = `no answer from the ${role.name} ${endpoint}`;
    throw new RemintError("ERR_TOKEN_NETWORK", message, { cause: redactedCause(error, redact), retryable: true });
  }
}

function redirectRefused({ name, option }: EndpointRole, endpoint: string, status: number): RemintError {
  return tokenResponseError(
    `the ${name} ${endpoint} answered with a redirect${status > 299 ? ` (${status})` : ""}, ` +
      `which is not followed: it could take the credentials elsewhere. Set ${option} to the final URL`,
  );
}

/** S2; also a custom fetch that followed a redirect, and browsers, which hide the status (`opaqueredirect`). */
function isRedirect({ status, type, redirected }: Response): boolean {
  return (status >= 300 && status < 400) || type === "opaqueredirect" || redirected;
}

/** S3: `undefined` when there is more than {@link LONGEST_BODY}; the rest is not read. */
async function readBody({ body }: Response): Promise<string | undefined> {
  if (body === null) return "";
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  for (let size = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return text + decoder.decode();
    size += value.byteLength;
    if (size > LONGEST_BODY) {
      reader.releaseLock();
      abandon(body);
      return undefined;
    }
    text += decoder.decode(value, { stream: true });
  }
}

function abandon(body: ReadableStream | null): void {
  // The answer is judged already; that its stream breaks now changes nothing.
  body?.cancel().catch(() => undefined);
}
