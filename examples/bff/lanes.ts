/**
 * Watches the requests of both lanes as they pass through the one port, and says what became of each.
 *
 * It looks only at what every reverse proxy sees: statuses, headers, and the problem that an answer names. Which token a
 * request had, the APIs say, by `x-request-id`.
 *
 * @module
 */
import { createHash, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Apis, ApiName, Received } from "./apis.ts";
import { onHead } from "./head.ts";
import type { ApiRequest, LaneName } from "./page/messages.ts";

/** What became of a request. */
export type Outcome = "first-try" | "after-renewal" | "unauthorized" | "unavailable" | "signed-out";

/** One request of a lane, when it was answered. Times are milliseconds. */
export interface LaneRequest {
  readonly id: string;
  readonly lane: LaneName;
  readonly at: number;
  readonly ms: number;
  readonly api: ApiName;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly token: string | null;
  readonly how: ApiRequest["how"];
}

/** Receives what passes. */
export interface LaneListener {
  readonly onRequest: (request: LaneRequest, cookie: string) => void;
  readonly onReceived: (received: Received, id: string, lane: LaneName) => void;
  /** A piece of an event stream. */
  readonly onStream: (lane: LaneName, text: string, cookie: string) => void;
}

/** The fingerprint of a token, by its `jti`. */
export function fingerprint(jti: string): string {
  return createHash("sha256").update(jti).digest("base64url").slice(0, 4);
}

/** How much of an answer is read to learn which problem it names. */
const PROBLEM_BYTES = 1024;

/** The watch over both lanes. */
export class Lanes {
  readonly #listener: LaneListener;
  /** The requests that are under way, and what the APIs answered to them. */
  readonly #underWay = new Map<string, { readonly lane: LaneName; readonly attempts: Received[] }>();

  constructor(apis: Apis, listener: LaneListener) {
    this.#listener = listener;
    apis.events.on("received", (received) => {
      const id = String(received.headers["x-request-id"]);
      const request = this.#underWay.get(id);
      request?.attempts.push(received);
      if (request !== undefined) listener.onReceived(received, id, request.lane);
    });
  }

  /** Watches a request, if it is one to an API. */
  watch(request: IncomingMessage, response: ServerResponse): void {
    const { method = "GET", url = "/", headers } = request;
    const [, usual, api, path] = /^(\/usual)?\/api\/(orders|billing)(\/[^?]*)/.exec(url) ?? [];
    if (api === undefined || path === undefined) return;
    const lane = usual === undefined ? "remint" : "usual";
    const id = String(headers["x-request-id"] ?? randomUUID());
    if (headers["x-request-id"] === undefined) request.rawHeaders.push("x-request-id", id);
    const attempts: Received[] = [];
    this.#underWay.set(id, { lane, attempts });
    const at = Date.now();
    const start = performance.now();
    const cookie = headers.cookie ?? "";
    const answer = new WatchedAnswer(response, (text) => this.#listener.onStream(lane, text, cookie));
    response.once("close", () => {
      this.#underWay.delete(id);
      // The browser went away before the answer began.
      if (!response.headersSent) return;
      const status = response.statusCode;
      const outcome = outcomeOf(status, attempts, answer.beginning);
      const jti = attempts.at(-1)?.jti;
      // The proxy writes one of these words.
      const desc = /desc=(\w+)/.exec(answer.headers.get("server-timing") ?? "")?.[1];
      const how = (desc ?? null) as ApiRequest["how"];
      const ms = performance.now() - start;
      const token = jti === undefined ? null : fingerprint(jti);
      const seen = { id, lane, at, ms, api: api as ApiName, method, path, status, outcome, token, how } as const;
      this.#listener.onRequest(seen, cookie);
    });
  }
}

function outcomeOf(status: number, attempts: readonly Received[], body: string): Outcome {
  if (status >= 500) return "unavailable";
  // A request for a stronger sign-in is an answer, and not a token that was not accepted.
  if (status === 401 && body.includes('"code":"step-up"')) return "first-try";
  if (status === 401) return /"code":"sign-in"|"signIn":true/.test(body) ? "signed-out" : "unauthorized";
  return attempts.some((attempt) => attempt.status === 401) ? "after-renewal" : "first-try";
}

/** An answer on its way: its headers, the beginning of a 401, and the pieces of an event stream. */
class WatchedAnswer {
  headers: Headers = new Headers();
  beginning = "";

  constructor(response: ServerResponse, onStream: (text: string) => void) {
    onHead(response, (_status, headers) => void (this.headers = headers));
    const look = (chunk: unknown): void => {
      if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) return;
      if (this.headers.get("content-type")?.startsWith("text/event-stream")) onStream(String(Buffer.from(chunk)));
      else if (response.statusCode === 401 && this.beginning.length < PROBLEM_BYTES)
        this.beginning += String(Buffer.from(chunk));
    };
    const write = response.write.bind(response) as (...values: unknown[]) => boolean;
    const end = response.end.bind(response) as (...values: unknown[]) => ServerResponse;
    response.write = (...values: unknown[]) => {
      look(values[0]);
      return write(...values);
    };
    response.end = (...values: unknown[]) => {
      look(values[0]);
      return end(...values);
    };
  }
}
