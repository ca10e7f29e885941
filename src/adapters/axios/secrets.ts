/**
 * Keeps tokens out of printed errors of axios (Q11). axios keeps the headers that were sent in `request`, and an agent
 * holds the sockets of other requests. Both stay readable, and nothing prints them.
 *
 * @module
 */
import { hide } from "../../base/errors.ts";
import { redacted } from "../../base/redacted.ts";
import { isNodeStream } from "../body.ts";
import type { AxiosCallConfig } from "./call.ts";

/**
 * Hides what must not be printed of a finished request.
 *
 * @param config The request's own config, without the token.
 * @param outcome What the caller gets: the answer, or an error.
 */
export function hideSecrets(config: AxiosCallConfig, outcome: unknown): void {
  if (config.httpAgent !== undefined || config.httpsAgent !== undefined) hideAgents(config, outcome);
  if (outcome instanceof Error) hideRequests(outcome);
  // Errors may come of an answer too: of its stream, when it is aborted, and of what transforms it.
  else hideRequest((Object(outcome) as { request?: unknown }).request);
}

function hideRequests(error: Error, depth = 0): void {
  hideRequestOf(error as { request?: unknown });
  // axios' fetch adapter wraps one AxiosError in another.
  if (error.cause instanceof Error && depth < 4) hideRequests(error.cause, depth + 1);
  const { response } = error as { response?: { data?: unknown; request?: unknown } };
  if (response === undefined) return;
  hideRequestOf(response);
  // A response that is a stream refers to the request and to its socket.
  if (isNodeStream(response.data)) {
    for (const name of ["req", "socket", "client"]) makeNonEnumerable(response.data, name);
  }
}

function hideRequestOf(holder: { readonly request?: unknown }): void {
  makeNonEnumerable(holder, "request");
  hideRequest(holder.request);
}

function makeNonEnumerable(holder: object, name: string): void {
  // `Reflect`, which does not throw if an adapter of the user's has frozen its error.
  if (Object.hasOwn(holder, name)) Reflect.defineProperty(holder, name, { enumerable: false });
}

/** Makes a request print as `[redacted]`, whatever refers to it; also the one of `follow-redirects` around it. */
function hideRequest(request: unknown): void {
  if (typeof request !== "object" || request === null) return;
  if (Object.isExtensible(request)) redacted(request, "Request");
  // oxlint-disable-next-line no-underscore-dangle -- the names are those of another package
  hideRequest((request as { _redirectable?: unknown })._redirectable);
}

/**
 * Hides the agents in a config. They stay enumerable, because axios copies what is enumerable when the config is sent
 * again, but as accessors, which `util.inspect` does not call. JSON leaves them out.
 */
function hideAgents(config: AxiosCallConfig, outcome: unknown): void {
  for (const name of ["httpAgent", "httpsAgent"] as const) {
    let agent = config[name];
    if (agent === undefined) continue;
    // oxlint-disable-next-line no-setter-return -- an arrow function, whose value nobody reads
    Object.defineProperty(config, name, { get: () => agent, set: (other) => (agent = other) });
  }
  const withoutAgents = (): object => ({ ...config, httpAgent: undefined, httpsAgent: undefined });
  hide(config, { toJSON: withoutAgents });
  const { toJSON } = Object(outcome) as { toJSON?: () => object };
  if (!(outcome instanceof Error) || typeof toJSON !== "function" || !Object.isExtensible(outcome)) return;
  const printed = Object.create(outcome, { config: { get: withoutAgents } }) as object;
  hide(outcome, { toJSON: () => toJSON.call(printed) });
}
