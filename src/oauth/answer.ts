/**
 * What the answer of a token endpoint means: a token, or an error that holds nothing of its body.
 *
 * @module
 */
import { processGenericTokenEndpointResponse } from "oauth4webapi";
import { jsonObject, readUpTo } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { isRemintError, RemintError, TokenEndpointError, tokenResponseError } from "../base/errors.ts";
import { CREDENTIAL_NAME, shown, redactedCause } from "./redaction.ts";
import type { JsonObject } from "../base/bytes.ts";
import type { TokenResponse } from "../core/types.ts";
import type { Redact } from "./redaction.ts";

/** Which endpoint is asked: what messages call it, and the option that is wrong when its URL is. */
export interface EndpointRole {
  readonly name: string;
  readonly option: string;
}

export const TOKEN_ENDPOINT: EndpointRole = { name: "token endpoint", option: "tokenEndpoint" };

/** An answer of a token endpoint, or of another endpoint of the server, read and not yet judged. */
export interface TokenAnswer {
  /** Origin and path of the endpoint, for messages. */
  readonly endpoint: string;
  /** @defaultValue the token endpoint */
  readonly role?: EndpointRole | undefined;
  readonly status: number;
  readonly headers: Headers;
  /** `undefined` when it is longer than S3 allows. */
  readonly body: string | undefined;
  readonly redact: Redact;
}

/** RFC 6749 section 5.2: printable ASCII without quote and backslash. */
const ERROR_CODE = /^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

/** What RFC 6749, 7009, 8707 and 9449 define for these endpoints, and what revocation endpoints borrow from RFC 6750. */
const REGISTERED_CODES = new Set([
  "invalid_request",
  "invalid_client",
  "invalid_grant",
  "unauthorized_client",
  "unsupported_grant_type",
  "invalid_scope",
  "access_denied",
  "server_error",
  "temporarily_unavailable",
  "unsupported_token_type",
  "invalid_token",
  "invalid_target",
  "invalid_dpop_proof",
  "use_dpop_nonce",
]);

/** Members that are ours when a grant returns them, so no server may set them; and what nobody checks here (`id_token`). */
const FOREIGN_MEMBERS = new Set(["serverTime", "receivedAt", "notAfter", "state", "id_token", "__proto__"]);

const HINTS: Readonly<Record<string, string>> = {
  invalid_client: "check clientId, clientSecret and clientAuthentication",
  unauthorized_client: "the authorization server does not allow this client this grant",
  unsupported_grant_type: "the authorization server does not support this grant",
  invalid_scope: "check scope",
  invalid_target: "check resource and audience",
  invalid_dpop_proof: "check this machine's clock, and which algorithms the server takes",
  401: "check clientId, clientSecret and clientAuthentication",
};

/** Statuses of a URL at which there is no such endpoint. */
const WRONG_URL = new Set([404, 405]);

/**
 * The token response in an answer.
 *
 * @throws {TokenEndpointError} When the answer is an error of the server.
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when it is neither an error nor a usable token.
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 */
export async function tokenFromAnswer(answer: TokenAnswer, clientId: string): Promise<TokenResponse> {
  const json = jsonObject(answer.body);
  if (answer.status !== 200) throw refusal(answer);
  if (json === undefined) throw unusable(answer, describe(answer));
  if (typeof json["access_token"] !== "string" && typeof json["error"] === "string") throw refusal(answer);
  try {
    const response = new Response(JSON.stringify(lenient(json)));
    const token = await processGenericTokenEndpointResponse(
      { issuer: answer.endpoint },
      { client_id: clientId },
      response,
    );
    return { ...token, serverTime: serverTime(answer.headers) };
  } catch (error) {
    // Its message names a member; the error itself holds the body and is not kept.
    throw unusable(answer, error instanceof Error ? error.message : "no token response");
  }
}

/** What oauth4webapi would reject a token for, although it says nothing (E3) or nobody needs it, is taken out. */
function lenient(json: JsonObject): JsonObject {
  const seconds = json["expires_in"];
  const lifetime = typeof seconds === "number" || typeof seconds === "string" ? Number(seconds) : 0;
  const expires = lifetime > 0 && Number.isFinite(lifetime) ? { expires_in: lifetime } : {};
  const kept = Object.entries(json).filter(([name, value]) => {
    if (name === "scope" || name === "refresh_token") return typeof value === "string" && value !== "";
    return name !== "expires_in" && !FOREIGN_MEMBERS.has(name);
  });
  return { ...Object.fromEntries(kept), ...expires };
}

/** The error that an answer is: its status, and what of its body is safe to show. */
export function refusal(answer: TokenAnswer): TokenEndpointError {
  const { endpoint, role = TOKEN_ENDPOINT, status, headers, redact } = answer;
  const json = jsonObject(answer.body) ?? {};
  const error = errorCode(json["error"], redact);
  const urlHint = WRONG_URL.has(status) ? `check ${urlOption(role)}` : undefined;
  const hint =
    (error !== undefined && Object.hasOwn(HINTS, error) ? HINTS[error] : undefined) ?? HINTS[status] ?? urlHint;
  const message = `the ${role.name} ${endpoint} answered ${status}${error === undefined ? "" : ` (${error})`}`;
  return new TokenEndpointError(status, hint === undefined ? message : `${message}: ${hint}`, {
    error,
    errorDescription: shown(json["error_description"], redact),
    retryAfter: retryAfter(headers),
  });
}

/** The `error` member of an answer. */
export function errorOf({ body }: TokenAnswer): string | undefined {
  const error = jsonObject(body)?.["error"];
  return typeof error === "string" ? error : undefined;
}

/** The code, if it is one. Whatever the secrets are, a registered one is shown whole: it decides what happens next. */
function errorCode(code: unknown, redact: Redact): string | undefined {
  if (typeof code !== "string" || !ERROR_CODE.test(code)) return undefined;
  return REGISTERED_CODES.has(code) ? code : redact(code);
}

function urlOption({ option }: EndpointRole): string {
  return option === "issuer" ? "the issuer's metadata" : `the ${option} URL`;
}

function unusable(answer: TokenAnswer, what: string): Error {
  return tokenResponseError(`the token endpoint ${answer.endpoint} answered 200 without a usable token: ${what}`);
}

function describe({ body, role = TOKEN_ENDPOINT }: TokenAnswer): string {
  if (body === undefined) return "the body is longer than 1 MiB";
  const start = body.trimStart();
  if (start === "") return "the body is empty";
  if (start.startsWith("<")) return `the body is HTML or XML, not JSON; check ${urlOption(role)}`;
  return "the body is not a JSON object";
}

/** E2: what the server's clock showed; a cache on the way (`Age`) would have kept an old `Date`. */
function serverTime(headers: Headers): number | undefined {
  return headers.has("age") ? undefined : httpDate(headers.get("date"));
}

/** Milliseconds; a date is compared with the server's own clock where that is known. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after")?.trim() ?? "";
  if (/^\d{1,12}(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = httpDate(value);
  return date === undefined ? undefined : Math.max(0, date - (serverTime(headers) ?? systemClock.now()));
}

function httpDate(value: string | null): number | undefined {
  // Date.parse alone makes a year of any digits.
  const time = value?.endsWith("GMT") === true ? Date.parse(value) : NaN;
  return Number.isNaN(time) ? undefined : time;
}

// MERGED One request to an authorization server and its answer, read and not judged: S2 (no redirects) and S3 (1 MiB) are kept
// MERGED here.
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
  const decoder = new TextDecoder();
  let text = "";
  const isWhole = await readUpTo(body, LONGEST_BODY, (chunk) => (text += decoder.decode(chunk, { stream: true })));
  return isWhole ? text + decoder.decode() : undefined;
}

function abandon(body: ReadableStream | null): void {
  // The answer is judged already; that its stream breaks now changes nothing.
  body?.cancel().catch(() => undefined);
}
