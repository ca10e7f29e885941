/**
 * Sends the requests of the demo: the same ones through both lanes, over the network, with the cookies of a viewer's browser.
 *
 * @module
 */
import type { Readable } from "node:stream";
import type { ApiName } from "./apis.ts";
import { sendByHttp } from "./browser.ts";
import type { Viewer } from "./feed.ts";
import type { LaneName } from "./page/messages.ts";

/** One request to an API. */
export interface Call {
  readonly api?: ApiName;
  readonly method?: string;
  readonly path?: string;
  readonly body?: string | Readable;
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** The cookies of somebody else than the viewer. */
  readonly robot?: string;
  /** Comes by itself, and not from a button. */
  readonly isBeat?: boolean;
}

/** The requests of the demo. */
export class Driver {
  readonly #origin: string;
  #count = 0;

  constructor(origin: string) {
    this.#origin = origin;
  }

  /** Sends a request through one lane. Resolves to the answer, unread. */
  send(viewer: Viewer, lane: LaneName, call: Call = {}): Promise<Response> {
    const {
      api = "orders",
      method = "GET",
      path = "/list",
      body,
      accept = "*/*",
      signal,
      robot,
      isBeat = false,
    } = call;
    const kind = isBeat ? "beat." : robot === undefined ? "" : "robot.";
    const id = `${viewer.id}.${kind}${++this.#count}`;
    const base = lane === "remint" ? "/api" : "/usual/api";
    const headers = new Headers({ "x-bff": "1", "x-request-id": id, accept, cookie: robot ?? viewer.cookie });
    if (body !== undefined) headers.set("content-type", "application/octet-stream");
    return sendByHttp(new URL(`${base}/${api}${path}`, this.#origin), {
      method,
      headers,
      ...(body !== undefined && { body }),
      ...(signal !== undefined && { signal }),
    });
  }

  /** Sends a request through one lane, and reads the answer. A connection that breaks is no failure of the demo. */
  async call(viewer: Viewer, lane: LaneName, call?: Call): Promise<number> {
    try {
      const response = await this.send(viewer, lane, call);
      await response.arrayBuffer();
      return response.status;
    } catch {
      return 0;
    }
  }

  /**
   * Both lanes, either of them first, by chance. One process answers all requests, so that who sends second waits for who
   * sends first: the same lane would always look slower.
   */
  lanes(): readonly LaneName[] {
    return Math.random() < 0.5 ? ["usual", "remint"] : ["remint", "usual"];
  }

  /** Sends so many equal requests at once, through one lane and then through the other: neither waits for the other's. */
  async both(viewer: Viewer, count: number, call?: Call): Promise<void> {
    for (const lane of this.lanes())
      await Promise.all(Array.from({ length: count }, () => this.call(viewer, lane, call)));
  }
}
