/**
 * Recognizing failures of the network in the errors of other libraries and runtimes.
 *
 * @module
 */

/** Codes that Node, Bun, undici and libraries on top of them give to failures of a connection or of a name look-up. */
const CODES = new Set([
  "EAI_AGAIN",
  "EAI_FAIL",
  "EAI_NODATA",
  "ECONNABORTED",
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOTCONN",
  "ENOTFOUND",
  "EPIPE",
  "EPROTO",
  "ESOCKETTIMEDOUT",
  "ETIMEDOUT",
  // axios
  "ERR_NETWORK",
  // Node's http and streams
  "ERR_STREAM_PREMATURE_CLOSE",
  "ERR_HTTP2_STREAM_ERROR",
  "ERR_HTTP2_SESSION_ERROR",
  "ERR_HTTP2_GOAWAY_SESSION",
  // undici. Its other codes are mistakes of its caller.
  "UND_ERR_BODY_TIMEOUT",
  "UND_ERR_CLOSED",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_DESTROYED",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_RES_CONTENT_LENGTH_MISMATCH",
  "UND_ERR_SOCKET",
  // got
  "ERR_GOT_REQUEST_ERROR",
  "ERR_READING_RESPONSE_STREAM",
  // Bun
  "ConnectionRefused",
  "ConnectionClosed",
  "ConnectionReset",
  "FailedToOpenSocket",
  "Timeout",
  // Azure's SDK
  "REQUEST_SEND_ERROR",
]);

/** The names that time-outs and broken connections have in the SDKs of AWS and Azure, in Deno and in `AbortSignal.timeout`. */
const NAMES = new Set([
  "TimeoutError",
  "NetworkingError",
  "RequestTimeout",
  "RequestTimeoutException",
  "ConnectionRefused",
  "ConnectionReset",
  "ConnectionAborted",
  "BrokenPipe",
  "NetworkUnreachable",
  "NotConnected",
  "TimedOut",
]);

/** What runtimes say when `fetch`, or the reading of its answer, has failed: there is no code. */
const FETCH_MESSAGES = new RegExp(
  [
    "fetch failed|terminated$", // Node
    "failed to fetch|network error$", // Chrome
    "networkerror when", // Firefox
    "load failed|the internet connection appears|the network connection was lost|a network error occurred", // Safari
    "network request failed", // React Native
    "unable to connect", // Bun
    "error sending request", // Deno
    "network connection lost", // Cloudflare Workers
  ]
    .map((messages) => `^ ?(?:${messages})`)
    .join("|"),
  "i",
);
/** An answer that breaks off has no code of its own in axios: `ERR_BAD_RESPONSE` is a status of 5xx too. */
const BROKEN_OFF = "stream has been aborted";

/**
 * Returns the error among an error and its causes which says that the network failed; `undefined` when none does. The
 * errors of files (`ENOENT`, `EACCES`) and a library's own codes are none.
 */
export function networkFailureOf(error: unknown, depth = 0): unknown {
  if (typeof error !== "object" || error === null || depth > 3) return undefined;
  const { code, name, message, cause } = error as {
    code?: unknown;
    name?: unknown;
    message?: unknown;
    cause?: unknown;
  };
  if (typeof code === "string" && CODES.has(code)) return error;
  if (typeof name === "string" && NAMES.has(name)) return error;
  if (name === "TypeError" && typeof message === "string" && FETCH_MESSAGES.test(message)) return error;
  if (name === "AxiosError" && message === BROKEN_OFF) return error;
  return networkFailureOf(cause, depth + 1);
}

/** Codes of failures before a connection was there: no byte of the request was sent. */
const NOT_SENT = new Set([
  "EAI_AGAIN",
  "EAI_FAIL",
  "EAI_NODATA",
  "ECONNREFUSED",
  "EHOSTDOWN",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ENETUNREACH",
  "ENOTFOUND",
  "UND_ERR_CONNECT_TIMEOUT",
  "ConnectionRefused",
  "FailedToOpenSocket",
]);

/**
 * Whether an error says that a request was never sent. An `AggregateError` says so when all of its errors do: Node tries
 * every address of a host.
 */
export function wasNeverSent(error: unknown, depth = 0): boolean {
  if (typeof error !== "object" || error === null || depth > 4) return false;
  const { code, errors, cause } = error as { code?: unknown; errors?: unknown; cause?: unknown };
  if (Array.isArray(errors) && errors.length > 0) return errors.every((each) => wasNeverSent(each, depth + 1));
  // The error of fetch itself has no code: that of the socket is its cause.
  if (typeof code === "string" && CODES.has(code)) return NOT_SENT.has(code);
  return wasNeverSent(cause, depth + 1);
}

/** Returns the code of the first error among an error and its causes that says how the network failed. */
export function networkCodeOf(
  error: unknown,
  isCode: (code: string) => boolean = (code) => CODES.has(code),
  depth = 0,
): string | undefined {
  if (typeof error !== "object" || error === null || depth > 4) return undefined;
  try {
    const { code, cause } = error as { code?: unknown; cause?: unknown };
    return typeof code === "string" && isCode(code) ? code : networkCodeOf(cause, isCode, depth + 1);
  } catch {
    // What the user's own fetch has thrown may be unreadable.
    return undefined;
  }
}

/**
 * Whether a code tells an operator why a request failed. Also one of TLS: `DEPTH_ZERO_SELF_SIGNED_CERT`. What is no code, but
 * for example an OAuth code under the same name, has other characters.
 */
export function isToldCode(code: string): boolean {
  return CODES.has(code) || /^[A-Z][A-Z\d_]{3,39}$/.test(code);
}

/** Returns the HTTP status in the error of an HTTP client or an SDK; `undefined` when there is none. */
export function statusOf(error: unknown): number | undefined {
  const { status, statusCode, response, $metadata } = Object(error) as {
    status?: unknown;
    statusCode?: unknown;
    response?: { status?: unknown; statusCode?: unknown } | null;
    $metadata?: { httpStatusCode?: unknown } | null;
  };
  const found = [status, statusCode, response?.status, response?.statusCode, $metadata?.httpStatusCode];
  return found.find((each) => typeof each === "number");
}
