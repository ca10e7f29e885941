/**
 * What the answer of a token endpoint means: a token, or an error that holds nothing of its body.
 *
 * @module
 */
import { processGenericTokenEndpointResponse } from "oauth4webapi";
import { tokenResponseError } from "../access-token.ts";
import { systemClock } from "../clock.ts";
import { TokenEndpointError } from "../errors.ts";
import type { TokenResponse } from "../grant.ts";
import { shown, type Redact } from "./redaction.ts";

/** An answer of a token endpoint, read and not yet judged. */
export interface TokenAnswer {
  /** Origin and path of the endpoint, for messages. */
  readonly endpoint: string;
  readonly status: number;
  readonly headers: Headers;
  /** `undefined` when it is longer than S3 allows. */
  readonly body: string | undefined;
  readonly redact: Redact;
}

type JsonObject = Record<string, unknown>;

/** RFC 6749 section 5.2: printable ASCII without quote and backslash. */
const ERROR_CODE = /^[\x20-\x21\x23-\x5b\x5d-\x7e]{1,64}$/;

/** Members that are ours when a grant returns them, so no server may set them; and what nobody checks here (`id_token`). */
const FOREIGN_MEMBERS = new Set(["serverTime", "receivedAt", "state", "id_token", "__proto__"]);

const HINTS: Readonly<Record<string, string>> = {
  invalid_client: "check clientId, clientSecret and clientAuthentication",
  unauthorized_client: "the authorization server does not allow this client this grant",
  unsupported_grant_type: "the authorization server does not support this grant",
  invalid_scope: "check scope",
  invalid_target: "check resource and audience",
  401: "check clientId, clientSecret and clientAuthentication",
  404: "check the tokenEndpoint URL",
  405: "check the tokenEndpoint URL",
};

/**
 * The token response in an answer.
 *
 * @throws {TokenEndpointError} When the answer is an error of the server.
 * @throws {RemintError} `ERR_TOKEN_RESPONSE` when it is neither an error nor a usable token.
 * @see [RFC 6749 section 5.1](https://www.rfc-editor.org/rfc/rfc6749.html#section-5.1)
 */
export async function tokenFromAnswer(answer: TokenAnswer, clientId: string): Promise<TokenResponse> {
  const json = jsonObject(answer.body);
  if (answer.status !== 200) throw refusal(answer, json ?? {});
  if (json === undefined) throw unusable(answer, describe(answer.body));
  if (typeof json["access_token"] !== "string" && typeof json["error"] === "string") throw refusal(answer, json);
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

function refusal(answer: TokenAnswer, json: JsonObject): TokenEndpointError {
  const { endpoint, status, headers, redact } = answer;
  const named = json["error"];
  const error = typeof named === "string" && ERROR_CODE.test(named) ? redact(named) : undefined;
  const hint = (error !== undefined && Object.hasOwn(HINTS, error) ? HINTS[error] : undefined) ?? HINTS[status];
  const message = `the token endpoint ${endpoint} answered ${status}${error === undefined ? "" : ` (${error})`}`;
  return new TokenEndpointError(status, hint === undefined ? message : `${message}: ${hint}`, {
    error,
    errorDescription: shown(json["error_description"], redact),
    retryAfter: retryAfter(headers),
  });
}

function unusable(answer: TokenAnswer, what: string): Error {
  return tokenResponseError(`the token endpoint ${answer.endpoint} answered 200 without a usable token: ${what}`);
}

function jsonObject(body: string | undefined): JsonObject | undefined {
  try {
    const json: unknown = JSON.parse(body ?? "");
    return isJsonObject(json) ? json : undefined;
  } catch {
    return undefined;
  }
}

function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function describe(body: string | undefined): string {
  if (body === undefined) return "the body is longer than 1 MiB";
  const start = body.trimStart();
  if (start === "") return "the body is empty";
  if (start.startsWith("<")) return "the body is HTML or XML, not JSON; check the tokenEndpoint URL";
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
