/**
 * Looks up the endpoints of an issuer in its metadata (RFC 8414, OpenID Connect Discovery), when the first request
 * needs them. All clients of an issuer share the result, for an hour. A failed lookup is not kept: the next request looks
 * again.
 *
 * The issuer in the metadata must be identical to the issuer that was asked for (RFC 8414 section 3.3). Redirects are
 * not followed (S2), the URLs must be https (S1), and at most 1 MiB is read (S3), as for every request to the server.
 *
 * Not here: which of the endpoints a request goes to (`request.ts`, `revocation.ts`).
 *
 * @module
 */
import { leaveOnAbort } from "../base/abort.ts";
import { jsonObject } from "../base/bytes.ts";
import { systemClock } from "../base/clock.ts";
import { isRemintError, isTransientStatus, RemintError, tokenResponseError } from "../base/errors.ts";
import { LruMap } from "../base/lru.ts";
import { assertString, optionError } from "../base/options.ts";
import { awaitUnder } from "../base/pending.ts";
import { endpointName, endpointUrl, isLoopback, withoutTrailingSlashes } from "../base/url.ts";
import { postToken, UNUSABLE_ANSWER } from "./answer.ts";
import { redactor, shown } from "./redaction.ts";
import type { JsonObject } from "../base/bytes.ts";
import type { EndpointRole, TokenAnswer, TokenFetch } from "./answer.ts";

/** The endpoints that a client's requests go to. */
export interface Endpoints {
  /** `undefined` when the user gave the endpoints without their issuer. */
  readonly issuer: string | undefined;
  readonly token: URL;
  /** @throws {RemintError} When the revocation endpoint in the metadata cannot be used. */
  readonly revocation: () => URL | undefined;
}

/** What a lookup needs to know. */
interface DiscoverySettings {
  /** Checked by {@link issuerUrl}. */
  readonly issuer: string;
  readonly fetch: TokenFetch | undefined;
  readonly allowHttp: boolean;
}

/**
 * Checks an issuer and returns it as a URL.
 *
 * @throws {TypeError} When it cannot be an issuer.
 * @see [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414.html#section-2)
 */
export function issuerUrl(issuer: unknown, allowHttp: boolean): URL {
  // Issuers are compared character by character, and a URL object no longer has the characters as they were written.
  if (typeof issuer !== "string") throw optionError("issuer", issuer, "a string, written as in the server's metadata");
  const url = endpointUrl("issuer", issuer, allowHttp);
  if (/[?#]/.test(issuer)) throw new TypeError(`"issuer" must not have a query or a fragment (RFC 8414 section 2)`);
  if (url.pathname.includes("/.well-known/")) {
    throw new TypeError(`"issuer" must be the issuer itself, without the /.well-known/ part of its metadata's URL`);
  }
  return url;
}

/** One lookup in progress. */
interface Lookup {
  readonly promise: Promise<void>;
  readonly controller: AbortController;
  /** How many callers wait for it. */
  waiting: number;
}

/** In milliseconds. Older metadata is looked up again, because a server may have moved an endpoint. */
const LONGEST_AGE = 60 * 60_000;

/** The issuers that were asked last, by the function that asks them. */
const issuers = new WeakMap<object, LruMap<string, Discovery>>();
/** Stands for the global `fetch`. */
const GLOBAL_FETCH = {};

/** Returns the endpoints of an issuer, the same for all clients that ask it in the same way. */
export function discoveryOf(settings: DiscoverySettings): Discovery {
  const { issuer, fetch = GLOBAL_FETCH, allowHttp } = settings;
  let known = issuers.get(fetch);
  if (known === undefined) issuers.set(fetch, (known = new LruMap(64)));
  const name = `${allowHttp} ${issuer}`;
  let discovery = known.use(name);
  if (discovery === undefined) known.set(name, (discovery = new Discovery(settings)));
  return discovery;
}

/** The endpoints of one issuer. Callers share one lookup, and its result is kept. */
class Discovery {
  readonly #settings: DiscoverySettings;
  #running: Lookup | undefined;
  #found: JsonObject | undefined;
  /** When {@link Discovery.#found} is out of date, on the monotonic clock. */
  #freshUntil = 0;
  /** How many of the names are known before a lookup. */
  readonly #known: number;
  #names: readonly string[];

  constructor(settings: DiscoverySettings) {
    this.#settings = settings;
    this.#names = documentUrls(settings.issuer).map((url) => endpointName(new URL(url)));
    this.#known = this.#names.length;
  }

  /** The names of the endpoints that are known by now: see `TokenClient.endpoints`. */
  get names(): readonly string[] {
    return this.#names;
  }

  /**
   * @param certificate Prefers the endpoints in the metadata's `mtls_endpoint_aliases`.
   * @throws {RemintError} When no metadata was found. When `signal` aborts: its reason, unwrapped.
   */
  async endpoints(signal: AbortSignal, certificate: boolean): Promise<Endpoints> {
    signal.throwIfAborted();
    if (this.#found === undefined || systemClock.monotonic() >= this.#freshUntil) await this.#look(signal);
    return endpointsOf(this.#settings, this.#found!, certificate);
  }

  /** The result may be out of date. The next request looks again. */
  forget(): void {
    this.#freshUntil = 0;
  }

  async #look(signal: AbortSignal): Promise<void> {
    const lookup = (this.#running ??= this.#start());
    lookup.waiting++;
    const pending = { what: `the server with the metadata of the issuer ${this.#settings.issuer}`, isServer: true };
    try {
      await awaitUnder(signal, pending, () => leaveOnAbort(lookup.promise, signal));
    } catch (error) {
      // What was found before may still be right, and is better than nothing.
      if (signal.aborted || this.#found === undefined) throw error;
    } finally {
      // When the last caller leaves, the lookup ends: an unfinished one is cancelled, and a failed one is not kept.
      if (--lookup.waiting === 0) {
        this.#running = undefined;
        lookup.controller.abort();
      }
    }
  }

  #start(): Lookup {
    const controller = new AbortController();
    const run = async (): Promise<void> => {
      const found = await lookUp(this.#settings, controller.signal);
      this.#note(namesIn(found));
      this.#found = found;
      this.#freshUntil = systemClock.monotonic() + LONGEST_AGE;
    };
    return { promise: run(), controller, waiting: 0 };
  }

  /** Adds names that a lookup has found. Those of before stay: where a server was, it may still answer. */
  #note(found: readonly string[]): void {
    const more = found.filter((name) => !this.#names.includes(name));
    if (more.length === 0) return;
    const before = this.#names.slice(this.#known);
    this.#names = [...this.#names.slice(0, this.#known), ...[...before, ...more].slice(-MOST_NAMES)];
  }
}

/** How many found names are kept. A server has up to four, and more only if it moves. */
const MOST_NAMES = 16;

/**
 * Returns where the metadata may be: OpenID Connect Discovery section 4, RFC 8414 section 3.1. OpenID's document is first:
 * most servers have it, and some answer every unknown path with a page and status 200.
 */
function documentUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = withoutTrailingSlashes(pathname);
  const documents = [`${path}/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server${path}`];
  return documents.map((document) => origin + document);
}

/** A look-up has no secrets. */
const NOTHING_SENT = redactor([]);
const DISCOVERY: EndpointRole = { name: "discovery endpoint", option: "issuer" };

/** Why a document is not the issuer's metadata. The other document may be. */
class Miss {
  readonly reason: string;
  readonly retryable: boolean;

  constructor(reason: string, retryable: boolean) {
    this.reason = reason;
    this.retryable = retryable;
  }
}

async function lookUp(settings: DiscoverySettings, signal: AbortSignal): Promise<JsonObject> {
  const misses: Miss[] = [];
  for (const url of documentUrls(settings.issuer)) {
    const answer = await documentAt(url, settings.fetch, signal);
    const metadata = answer instanceof Miss ? answer : metadataIn(answer, settings);
    if (!(metadata instanceof Miss)) return metadata;
    misses.push(metadata);
  }
  const hint = `no metadata of the issuer ${settings.issuer}: ${misses.map(({ reason }) => reason).join("; ")}`;
  const retryable = misses.some((miss) => miss.retryable);
  throw new RemintError("ERR_TOKEN_RESPONSE", UNUSABLE_ANSWER, { hint, retryable });
}

/**
 * Requests one of the two documents. A redirect counts as a missing document, because many servers redirect requests
 * for an unknown path to their sign-in page.
 */
async function documentAt(
  url: string,
  fetch: TokenFetch | undefined,
  signal: AbortSignal,
): Promise<TokenAnswer | Miss> {
  const init = { headers: { accept: "application/json" }, method: "GET", redirect: "manual", signal } as const;
  try {
    return await postToken({ endpoint: url, role: DISCOVERY, fetch, redact: NOTHING_SENT }, url, init);
  } catch (error) {
    if (!isRemintError(error) || error.code !== "ERR_TOKEN_RESPONSE") throw error;
    return new Miss(error.hint ?? error.message, error.retryable);
  }
}

/** Returns the metadata in an answer, or why there is none: it may be another issuer's, or have no token endpoint to use. */
function metadataIn(answer: TokenAnswer, settings: DiscoverySettings): JsonObject | Miss {
  const { endpoint, status, body } = answer;
  const { issuer } = settings;
  if (status !== 200) return new Miss(`${endpoint} answered ${status}`, isTransientStatus(status));
  const found = jsonObject(body);
  if (typeof found?.["issuer"] !== "string" || !/^https?:/.test(found["issuer"]))
    return new Miss(`${endpoint} answered 200 without metadata`, false);
  if (found["issuer"] !== issuer) {
    const named = shown(found["issuer"], NOTHING_SENT) ?? "none";
    const what = `is the metadata of another issuer, "${named}"`;
    return new Miss(`${endpoint} ${what}: check "issuer"; it must be identical to the metadata's`, false);
  }
  try {
    endpointsOf(settings, found, false);
    return found;
  } catch (error) {
    return new Miss((error as RemintError).hint!, false);
  }
}

function endpointsOf(settings: DiscoverySettings, metadata: JsonObject, certificate: boolean): Endpoints {
  const { issuer } = settings;
  const listed = { ...metadata, ...(certificate && aliasesIn(metadata)) };
  const checked = (name: EndpointMember): URL => {
    try {
      return discoveredUrl(name, listed[name], settings);
    } catch (error) {
      const why = error instanceof Error ? error.message : "";
      throw tokenResponseError(UNUSABLE_ANSWER, `the metadata of the issuer ${issuer} cannot be used: ${why}`);
    }
  };
  return {
    issuer,
    token: checked("token_endpoint"),
    // Checked only when it is needed: tokens can be minted although the revocation endpoint is wrong.
    revocation: () => (listed["revocation_endpoint"] === undefined ? undefined : checked("revocation_endpoint")),
  };
}

/** The endpoints for clients that authenticate with a certificate (RFC 8705 section 5). */
function aliasesIn(metadata: JsonObject): JsonObject {
  return Object(metadata["mtls_endpoint_aliases"]) as JsonObject;
}

type EndpointMember = "token_endpoint" | "revocation_endpoint";

/**
 * Checks the URL of an endpoint in the metadata. Plain http on this machine is for a server on this machine: whatever
 * listens on a port here is not the server of another issuer (S1).
 *
 * @throws {TypeError} When it cannot be used.
 */
function discoveredUrl(name: EndpointMember, value: unknown, { issuer, allowHttp }: DiscoverySettings): URL {
  assertString(name, value);
  const url = endpointUrl(name, value, allowHttp);
  if (url.protocol === "https:" || allowHttp || isLoopback(new URL(issuer).hostname)) return url;
  throw new TypeError(`"${name}" must be an https URL, as the issuer is, got http://${url.host}`);
}

/** The names of the endpoints in the metadata. What is no URL has none. */
function namesIn(metadata: JsonObject): string[] {
  return [metadata, aliasesIn(metadata)].flatMap((part) =>
    (["token_endpoint", "revocation_endpoint"] as const).flatMap((name) => {
      try {
        return [endpointName(endpointUrl(name, String(part[name]), true))];
      } catch {
        return [];
      }
    }),
  );
}
