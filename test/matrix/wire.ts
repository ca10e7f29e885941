/** What arrived at the servers of the matrix, and the comparison of two runs. Runs everywhere: no `node:` imports. */

/** Every secret of the matrix contains this text, and nothing else does. */
export const SECRET = "s3cret";
/** The beginning of every token. */
export const TOKEN = `${SECRET}-token-`;
/** The first letter of a run whose requests wait for the token endpoint. */
export const WAITING = "q";
/** The first letter of a run in which the first request of every call is answered with 401 if it carries our token. */
export const REJECTING = "r";
/** The first letter of a run in which that 401 asks for a nonce, and the tokens are bound to a key (DPoP). */
export const NONCE = "n";
/** The first letter of a run in which the first request of every call is answered with 401, whatever it carries. */
export const REFUSING = "x";
/**
 * The second letter of a run in which the token endpoint ({@link WAITING}) or the 401 (the others) is held back:
 * `GET /hold/<run>/begun` is answered when it is, `GET /hold/<run>/ended` ends it.
 */
export const HELD = "h";

/** One request, as it arrived. */
export interface Arrival {
  /** Which server it reached: the one that the cache lists, or another. */
  readonly host: "api" | "other";
  readonly call: string;
  readonly method: string;
  /** Path and query, without what tells run and call. */
  readonly url: string;
  /** All headers but `Authorization`, as they came: upper and lower case, order, repetitions. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly authorization: string | undefined;
  /** The bytes of the body, one character each; of a long body its length and a digest. */
  readonly body: string;
  /** Whether the body arrived to its end. */
  readonly whole: boolean;
  /** Whether the server of a rejecting or refusing run answered 401 because it was the first request of its call. */
  readonly isRejected: boolean;
}

export interface Log {
  readonly arrivals: readonly Arrival[];
  readonly mints: number;
}

/** Returns the arrivals as they are compared, in the order of calls. The order of headers of different names says nothing. */
export function comparable(arrivals: readonly Arrival[]): object[] {
  return arrivals
    .toSorted((one, other) => Number(one.call) - Number(other.call))
    .map(({ host, call, method, url, headers, body, whole }) =>
      withoutBoundary({ host, call, method, url, headers: headers.toSorted(compare), body, whole }),
    );
}

function compare([one]: readonly [string, string], [other]: readonly [string, string]): number {
  const [left, right] = [one.toLowerCase(), other.toLowerCase()];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A boundary is new in every send. Its length is not, so `content-length` is compared. */
function withoutBoundary<Rest extends Pick<Arrival, "headers" | "body">>(arrival: Rest): Rest {
  // axios' fetch adapter sends some forms with a content type of another kind, also without remint.
  const named = arrival.headers.map(([, value]) => /\bboundary=([^;]+)/.exec(value)?.[1]);
  const boundaries = [/^--(\S+)\r\n/.exec(arrival.body)?.[1], ...named].filter((each) => each !== undefined);
  const replaced = (text: string): string =>
    boundaries.reduce((rest, boundary) => rest.replaceAll(boundary, "BOUNDARY"), text);
  const headers = arrival.headers.map(([name, value]) => [name, replaced(value)] as const);
  return { ...arrival, headers, body: replaced(arrival.body) };
}

/** Returns where two values differ, and how: one line for each of the first three places. */
export function differences(expected: unknown, actual: unknown, path = ""): string[] {
  if (Object.is(expected, actual)) return [];
  if (typeof expected !== "object" || typeof actual !== "object" || expected === null || actual === null) {
    return [`${path || "the value"}: ${show(expected)} alone, ${show(actual)} through remint`];
  }
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  const found = [...names].flatMap((name) => {
    const [one, other] = [expected, actual].map((each) => (each as Record<string, unknown>)[name]);
    return differences(one, other, path === "" ? name : `${path}.${name}`);
  });
  return found.slice(0, 3);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 160 ? `${text.slice(0, 160)}... (${text.length})` : text;
}
