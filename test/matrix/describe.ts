/**
 * Turns what a caller gets (responses, errors, configs) into plain data, so that two runs can be compared, also across
 * processes. Runs everywhere: no `node:` imports.
 */

/** Headers that are about the connection, not about the answer. */
const CONNECTION = new Set(["connection", "keep-alive", "transfer-encoding"]);
const DEEPEST = 7;

/** Describes any value. Functions, streams and instances of classes are described by their kind. */
export function describe(value: unknown, depth = 0): unknown {
  if (value === undefined) return "[undefined]";
  if (typeof value === "function") return `[function ${value.name}]`;
  if (typeof value === "symbol" || typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth > DEEPEST) return "[deeper]";
  const name = classOf(value);
  if (isError(value)) return describeError(value, depth);
  if (isResponse(value)) return describeResponse(value);
  if (isAxiosResponse(value)) return describeAxiosResponse(value, depth);
  if (isHeaders(value)) return [...value].filter(([key]) => !CONNECTION.has(key.toLowerCase()));
  if (name.endsWith("AxiosHeaders")) return describeMembers(value, depth);
  if (value instanceof ArrayBuffer) return `[${name} ${value.byteLength}]`;
  if (ArrayBuffer.isView(value))
    return `[${name} ${hexOf(new Uint8Array(value.buffer, value.byteOffset, value.byteLength))}]`;
  if (Array.isArray(value)) return value.map((each) => describe(each, depth + 1));
  if (name !== "Object" && name !== "") return `[${name}]`;
  return describeMembers(value, depth);
}

/** A member that is `undefined` counts as absent: what was set and removed again stays as such a key in axios' config. */
function describeMembers(value: object, depth: number): object {
  const members = Object.entries(value).filter(([, each]) => each !== undefined);
  return Object.fromEntries(
    members.toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([key, each]) => [key, describe(each, depth + 1)]),
  );
}

function describeError(error: Error, depth: number): object {
  const { code, cause, status, statusText, statusCode, data, response, config, options, type, errors } =
    error as unknown as Record<string, unknown>;
  const details: Record<string, unknown> = {
    code,
    status,
    statusText,
    statusCode,
    data,
    response,
    config,
    options,
    type,
    errors,
  };
  // Which hooks ofetch has is a case of its own: it would hide every other difference.
  if (error.name === "FetchError") details["options"] = { ...(options as object), onRequestError: undefined };
  return {
    class: classOf(error),
    name: error.name,
    message: error.message,
    text: String(error),
    // `request` is hidden from printing, because axios keeps the sent headers in it. It can be read as without remint.
    hasRequest: "request" in error,
    keys: Object.keys(error)
      .filter((key) => key !== "request")
      .toSorted(),
    stack: String(error.stack).split("\n")[0],
    ...(cause !== undefined && { cause: describe(cause, depth + 1) }),
    ...describeMembers(details, depth),
  };
}

function describeResponse(response: Response): object {
  const { status, statusText, ok, url, redirected, type, bodyUsed, headers } = response;
  // ofetch puts the parsed body beside.
  const { _data: data } = response as { _data?: unknown };
  const body = response.body === null ? "none" : "there";
  return {
    class: classOf(response),
    ...{ status, statusText, ok, url, redirected, type, bodyUsed, body },
    headers: describe(headers),
    data: describe(data),
  };
}

interface AxiosAnswer {
  readonly status: number;
  readonly statusText: string;
  readonly headers: object;
  readonly data: unknown;
  readonly config: object;
  readonly request?: { readonly responseURL?: string; readonly res?: { readonly responseUrl?: string } };
}

function describeAxiosResponse(
  { status, statusText, headers, data, config, request }: AxiosAnswer,
  depth: number,
): object {
  return {
    status,
    statusText,
    headers: describeMembers(
      Object.fromEntries(Object.entries(headers).filter(([key]) => !CONNECTION.has(key.toLowerCase()))),
      depth,
    ),
    headersClass: classOf(headers),
    data: describe(data, depth + 1),
    config: describe(config, depth + 1),
    finalUrl: describe(request?.res?.responseUrl ?? request?.responseURL),
  };
}

function isError(value: object): value is Error {
  return value instanceof Error || ("stack" in value && "message" in value);
}

/** No `instanceof`: node-fetch and the undici package have classes of their own. */
function isResponse(value: object): value is Response {
  return "bodyUsed" in value && "redirected" in value;
}

function isHeaders(value: object): value is Headers {
  return (
    typeof (value as Partial<Headers>).getSetCookie === "function" && Symbol.iterator in value && !("toJSON" in value)
  );
}

function isAxiosResponse(value: object): value is AxiosAnswer {
  return "config" in value && "data" in value && "status" in value && "headers" in value;
}

function classOf(value: object): string {
  return (Object.getPrototypeOf(value) as object | null)?.constructor?.name ?? "";
}

export function hexOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Returns every form in which a log may print a value that a caller got.
 *
 * @param inspect Prints a value in depth. In a runtime that has no such function the enumerable members are walked.
 */
export function printed(value: unknown, inspect: (value: unknown) => string): string {
  const { stack, message, config, response, cause, options, data } = Object(value) as Record<string, unknown>;
  const forms = [value, config, response, cause, options, data].flatMap((part) => [
    attempt(() => String(part)),
    attempt(() => JSON.stringify(part)),
    attempt(() => inspect(part)),
    ...Object.values(Object(part) as object).map((member) => attempt(() => JSON.stringify(member))),
  ]);
  return [...forms, String(stack), String(message)].join("\n");
}

function attempt(print: () => string | undefined): string {
  try {
    return print() ?? "";
  } catch {
    // A circular value, or one without a prototype, has no such form.
    return "";
  }
}

/** Prints the enumerable members of a value in depth, for runtimes without `util.inspect`. */
export function walked(value: unknown, depth = 10, seen: Set<unknown> = new Set()): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (depth < 0 || seen.has(value)) return "";
  seen.add(value);
  const entries = value instanceof Map || value instanceof Set || isHeaders(value) ? [...value] : Object.entries(value);
  return entries.map((entry) => attempt(() => walked(entry, depth - 1, seen))).join();
}
