/**
 * Differences that are known, and are not faults of this package: what an implementation of fetch or a runtime does by itself
 * once a request has passed through another function. They are counted as not applicable, with their reason.
 */
interface Known {
  readonly cases: RegExp;
  /** Runtime and client, as in "Node 20 (20.20.2), fetch, node-fetch 3". */
  readonly cells: RegExp;
  readonly reason: string;
}

const NODE_FETCH = /node-fetch|cross-fetch/;

const KNOWN: readonly Known[] = [
  {
    cases: /^Q3: .*to another host/,
    cells: NODE_FETCH,
    reason:
      "node-fetch keeps Authorization when it is redirected to another port of the same host (docs/troubleshooting.md)",
  },
  {
    cases: /^Q12: a signal that was aborted before the call/,
    cells: /node-fetch|cross-fetch|^Bun.*undici 6/,
    reason: "it rejects with an AbortError of its own, where fetch rejects with the signal's reason",
  },
  {
    cases: /^Q6: a ReadableStream that is locked/,
    cells: NODE_FETCH,
    reason: "it takes no web streams, and sends the name of the object",
  },
  {
    cases: /a Request/,
    cells: /^Deno.*, (fetch, global|ofetch)/,
    reason: "Deno does not know the length of a cloned Request's body: transfer-encoding in place of content-length",
  },
  {
    cases: /a Request/,
    cells: /^Chromium.*, fetch, global/,
    reason: "Chromium sends the names of a cloned Request's headers in lower case",
  },
  {
    cases: /^Q15: a symbol as the URL/,
    cells: /^Chromium.*, fetch, global/,
    reason: "the message of the TypeError names the window's fetch",
  },
  {
    cases: /factory of URLSearchParams/,
    cells: /^Bun.*, ofetch 1\.4\.0/,
    reason: "ofetch 1.4 makes JSON of the URLSearchParams of Bun",
  },
  {
    cases: /^Q12: timeout (while the answer is awaited|with a message|with clarify)/,
    cells: /^workerd.*, axios 1\.(7|9|13)/,
    reason: "workerd puts the time that was left into a message of its own",
  },
  {
    cases: /^Q15, Q11: a body that breaks off/,
    cells: /^Bun.*, ofetch/,
    reason: "Bun gives the error of a body that breaks off a stack or none, by chance, also to ofetch alone",
  },
  {
    cases: /^Q12: (?:an abort (?:while the answer|with)|one signal of two calls|a cancel token while)/,
    cells: /^Deno.*, axios .*, http/,
    reason: "Deno's node:http sends a request again that is aborted on a kept connection, also for axios alone",
  },
];

/** Why a difference is known; `undefined` when it is a fault. */
export function knownReason(name: string, cell: string): string | undefined {
  return KNOWN.find(({ cases, cells }) => cases.test(name) && cells.test(cell))?.reason;
}
