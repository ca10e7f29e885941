/** A pool of one connection: a client that keeps it busy during a mint over the same connection waits for ever (Q7). */
import { Agent as HttpAgent } from "node:http";
import axios from "axios";
import {
  Agent,
  type Dispatcher,
  fetch as undiciFetch,
  Request as UndiciRequest,
  Response as UndiciResponse,
} from "undici";
import type { UndiciModule } from "../matrix/clients.ts";

export interface OneConnection {
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>;
  readonly agent: HttpAgent;
  /** The `env` option of axios' fetch adapter: this `fetch`, and the Request and Response classes that fit it. */
  readonly env: object;
  /** A `fetch` over {@link OneConnection.agent}, so that token requests share axios' connection. */
  readonly fetchOverAgent: (url: string, init: RequestInit) => Promise<Response>;
  /** The dispatcher beneath {@link OneConnection.fetch}. */
  readonly dispatcher: Dispatcher;
  close(): Promise<void>;
}

/** @param undici The undici of the dispatcher. By default that of the repository. */
export function oneConnection(undici: Pick<UndiciModule, "Agent"> = { Agent }): OneConnection {
  const dispatcher = new undici.Agent({ connections: 1, pipelining: 1 });
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  const fetch = ((input: string, init?: object) =>
    undiciFetch(input, { ...init, dispatcher })) as unknown as OneConnection["fetch"];
  return {
    agent,
    dispatcher,
    fetch,
    env: { fetch, Request: UndiciRequest, Response: UndiciResponse },
    async fetchOverAgent(url, init) {
      const { status, data, headers } = await axios.request<string>({
        url,
        adapter: "http",
        httpAgent: agent,
        method: init.method ?? "GET",
        data: (init.body as URLSearchParams).toString(),
        headers: Object.fromEntries(new Headers(init.headers)),
        responseType: "text",
        validateStatus: () => true,
      });
      return new Response(data, { status, headers: { "content-type": String(headers["content-type"]) } });
    },
    async close() {
      agent.destroy();
      await dispatcher.destroy();
    },
  };
}
