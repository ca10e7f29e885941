/**
 * Looks up the endpoints of an issuer in its metadata (RFC 8414, OpenID Connect Discovery), when the first request
 * needs them. A failed lookup is not kept: the next request looks again.
 *
 * The issuer in the metadata must be identical to the issuer that was asked for (RFC 8414 section 3.3). Redirects are
 * not followed (S2), the URLs must be https (S1), and at most 1 MiB is read (S3), as for every request to the server.
 *
 * Not here: which of the endpoints a request goes to (`request.ts`, `revocation.ts`).
 *
 * @module
 */
import {
  allowInsecureRequests,
  customFetch,
  discoveryRequest,
  JSON_ATTRIBUTE_COMPARISON,
  processDiscoveryResponse,
} from "oauth4webapi";
import { leaveOnAbort } from "../base/abort.ts";
import { isRemintError, isTransientStatus, RemintError, tokenResponseError } from "../base/errors.ts";
import { optionError } from "../base/options.ts";
import { awaitUnder } from "../base/pending.ts";
import { endpointName, endpointUrl, isLoopback, withoutTrailingSlashes } from "../base/url.ts";
import { postToken, UNUSABLE_ANSWER } from "./answer.ts";
import { shown } from "./redaction.ts";
import type { AuthorizationServer } from "oauth4webapi";
import type { EndpointRole, TokenAnswer, TokenFetch } from "./answer.ts";

/** The endpoints that a client's requests go to. */
export interface Endpoints {
  /** `undefined` when the user gave the endpoints without their issuer. */
  readonly issuer: string | undefined;
  readonly token: URL;
  /** @throws {RemintError} When the revocation endpoint in the metadata cannot be used. */
  readonly revocation: () => URL | undefined;
}

/** The endpoints of an issuer, and how the client may have to call them. */
interface FoundEndpoints extends Endpoints {
  /** The names of the token and revocation endpoints in the metadata. */
  readonly names: readonly string[];
}

/** What a lookup needs to know. */
interface DiscoverySettings {
  /** Checked by {@link issuerUrl}. */
  readonly issuer: string;
  readonly fetch: TokenFetch | undefined;
  readonly allowHttp: boolean;
  /** Prefers the endpoints in the metadata's `mtls_endpoint_aliases`. */
  readonly certificate: boolean;
  /** The names of the endpoints that the user gave beside the issuer. */
  readonly known: readonly string[];
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
  readonly promise: Promise<Endpoints>;
  readonly controller: AbortController;
  /** How many callers wait for it. */
  waiting: number;
}

/** The endpoints of one issuer. Callers share one lookup, and its result is kept. */
export class Discovery {
  readonly #settings: DiscoverySettings;
  #running: Lookup | undefined;
  #found: Endpoints | undefined;
  /** The names of the endpoints that are known before a lookup. */
  readonly #knownNames: readonly string[];
  #names: readonly string[];

  constructor(settings: DiscoverySettings) {
    this.#settings = settings;
    this.#knownNames = [...metadataNames(new URL(settings.issuer)), ...settings.known];
    this.#names = this.#knownNames;
  }

  /** The names of the endpoints that are known by now: see `TokenClient.endpoints`. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** @throws {RemintError} When no metadata was found. When `signal` aborts: its reason, unwrapped. */
  async endpoints(signal: AbortSignal): Promise<Endpoints> {
    signal.throwIfAborted();
    if (this.#found !== undefined) return this.#found;
    const lookup = (this.#running ??= this.#start());
    lookup.waiting++;
    const pending = { what: `the server with the metadata of the issuer ${this.#settings.issuer}`, isServer: true };
    try {
      return await awaitUnder(signal, pending, () => leaveOnAbort(lookup.promise, signal));
    } finally {
      // When the last caller leaves, the lookup ends: an unfinished one is cancelled, and a failed one is not kept.
      if (--lookup.waiting === 0) {
        this.#running = undefined;
        lookup.controller.abort();
      }
    }
  }

  /** Drops the result, because it is out of date. The next request looks again. */
  forget(): void {
    this.#found = undefined;
  }

  #start(): Lookup {
    const controller = new AbortController();
    const run = async (): Promise<Endpoints> => {
      const found = await lookUp(this.#settings, controller.signal);
      this.#note(found.names);
      return (this.#found = found);
    };
    return { promise: run(), controller, waiting: 0 };
  }

  /** Adds names that a lookup has found. Those of before stay: where a server was, it may still answer. */
  #note(found: readonly string[]): void {
    const more = found.filter((name) => !this.#names.includes(name));
    if (more.length === 0) return;
    const before = this.#names.slice(this.#knownNames.length);
    this.#names = [...this.#knownNames, ...[...before, ...more].slice(-MOST_NAMES)];
  }
}

/** How many found names are kept. A server has up to four, and more only if it moves. */
const MOST_NAMES = 16;

/** The names of the two documents that a lookup asks for: OpenID Connect Discovery section 4, RFC 8414 section 3.1. */
function metadataNames({ origin, pathname }: URL): string[] {
  const path = withoutTrailingSlashes(pathname);
  const documents = [`${path}/.well-known/openid-configuration`, `/.well-known/oauth-authorization-server${path}`];
  return documents.map((document) => endpointName(new URL(origin + document)));
}

const DISCOVERY: EndpointRole = { name: "discovery endpoint", option: "issuer" };

/** OpenID's document first: most servers have it, and some answer every unknown path with a page and status 200. */
const ALGORITHMS = ["oidc", "oauth2"] as const;

/** Why a document is not the issuer's metadata. The other document may be. */
class Miss {
  readonly reason: string;
  readonly retryable: boolean;

  constructor(reason: string, retryable: boolean) {
    this.reason = reason;
    this.retryable = retryable;
  }
}

async function lookUp(settings: DiscoverySettings, signal: AbortSignal): Promise<FoundEndpoints> {
  const misses: Miss[] = [];
  for (const algorithm of ALGORITHMS) {
    const answer = await documentOf(settings, algorithm, signal);
    const metadata = answer instanceof Miss ? answer : await metadataIn(answer, settings.issuer);
    if (!(metadata instanceof Miss)) return endpointsOf(settings, metadata);
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
async function documentOf(
  { issuer, fetch }: DiscoverySettings,
  algorithm: (typeof ALGORITHMS)[number],
  signal: AbortSignal,
): Promise<TokenAnswer | Miss> {
  let answer!: TokenAnswer | Miss;
  await discoveryRequest(new URL(issuer), {
    algorithm,
    [allowInsecureRequests]: true, // `issuerUrl` has checked the scheme. oauth4webapi would refuse http on loopback.
    [customFetch]: async (url, { headers, method }) => {
      const init = { headers, method, redirect: "manual", signal } as const;
      const asked = postToken({ endpoint: url, role: DISCOVERY, fetch, redact: (text) => text }, url, init);
      answer = await asked.catch((error: unknown) => {
        if (!isRemintError(error) || error.code !== "ERR_TOKEN_RESPONSE") throw error;
        return new Miss(error.hint ?? error.message, error.retryable);
      });
      return new Response(null);
    },
  });
  return answer;
}

/**
 * Returns the metadata in an answer, or why there is none.
 *
 * @throws {RemintError} When the metadata is another issuer's.
 */
async function metadataIn(answer: TokenAnswer, issuer: string): Promise<AuthorizationServer | Miss> {
  const { endpoint, status, body } = answer;
  if (status !== 200) return new Miss(`${endpoint} answered ${status}`, isTransientStatus(status));
  const found = await processDiscoveryResponse(new URL(issuer), new Response(body)).catch(documentOfAnotherIssuer);
  if (found === undefined) return new Miss(`${endpoint} answered 200 without metadata`, false);
  // oauth4webapi compares the issuers as URLs. RFC 8414 section 3.3 says that they must be identical.
  if (found.issuer === issuer) return found;
  const named = shown(found.issuer, (text) => text) ?? "none";
  throw tokenResponseError(
    UNUSABLE_ANSWER,
    `${endpoint} is the metadata of another issuer, "${named}": check "issuer"; it must be identical to the metadata's`,
  );
}

/**
 * Returns the metadata that oauth4webapi refused because of its issuer; `undefined` when the answer was no metadata.
 */
function documentOfAnotherIssuer(error: unknown): Pick<AuthorizationServer, "issuer"> | undefined {
  const { code, cause } = error as { code?: unknown; cause?: { body?: { issuer: string } } };
  return code === JSON_ATTRIBUTE_COMPARISON ? cause?.body : undefined;
}

function endpointsOf(settings: DiscoverySettings, metadata: AuthorizationServer): FoundEndpoints {
  const { issuer, certificate } = settings;
  const aliases = metadata.mtls_endpoint_aliases;
  const listed = { ...metadata, ...(certificate && aliases) };
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
    revocation: () => (listed.revocation_endpoint === undefined ? undefined : checked("revocation_endpoint")),
    names: [metadata, aliases].flatMap(namesIn),
  };
}

type EndpointMember = "token_endpoint" | "revocation_endpoint";

/**
 * Checks the URL of an endpoint in the metadata. Plain http on this machine is for a server on this machine: whatever
 * listens on a port here is not the server of another issuer (S1).
 *
 * @throws {TypeError} When it cannot be used.
 */
function discoveredUrl(name: EndpointMember, value: unknown, { issuer, allowHttp }: DiscoverySettings): URL {
  const url = endpointUrl(name, value, allowHttp);
  if (url.protocol === "https:" || allowHttp || isLoopback(new URL(issuer).hostname)) return url;
  throw new TypeError(`"${name}" must be an https URL, as the issuer is, got http://${url.host}`);
}

/** The names of the endpoints in a part of the metadata. What is no URL has none. */
function namesIn(part: Partial<Record<EndpointMember, unknown>> | undefined): string[] {
  return (["token_endpoint", "revocation_endpoint"] as const).flatMap((name) => {
    try {
      return [endpointName(endpointUrl(name, part?.[name], true))];
    } catch {
      return [];
    }
  });
}
