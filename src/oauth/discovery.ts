/**
 * Finds the endpoints of an issuer (RFC 8414, OpenID Connect Discovery), when the first request needs them.
 *
 * T38: the metadata's issuer is the one that was asked for, to the letter, and a failure is forgotten: the next request
 * looks again. T20: endpoints are used for that issuer only. S1, S2 and S3 hold for the lookup as for everything else.
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
import { endpointUrl } from "../base/url.ts";
import { postToken } from "./answer.ts";
import { shown } from "./redaction.ts";
import type { AuthorizationServer } from "oauth4webapi";
import type { EndpointRole, TokenAnswer, TokenFetch } from "./answer.ts";

/** Where the requests of a client go. */
export interface Endpoints {
  /** `undefined` when the endpoints were given, and nobody said whose they are. */
  readonly issuer: string | undefined;
  readonly token: URL;
  readonly revocation: () => URL | undefined;
}

/** What a lookup needs to know. */
export interface DiscoverySettings {
  /** Checked by {@link issuerUrl}. */
  readonly issuer: string;
  readonly fetch: TokenFetch | undefined;
  readonly allowHttp: boolean;
  /** Use the metadata's `mtls_endpoint_aliases`. */
  readonly certificate: boolean;
}

const DISCOVERY: EndpointRole = { name: "discovery endpoint", option: "issuer" };

/** OpenID's document first: most servers have it, and some answer for unknown paths with a page and status 200. */
const ALGORITHMS = ["oidc", "oauth2"] as const;

/**
 * The URL of an issuer.
 *
 * @throws {TypeError} When it cannot be one.
 * @see [RFC 8414 section 2](https://www.rfc-editor.org/rfc/rfc8414.html#section-2)
 */
export function issuerUrl(issuer: unknown, allowHttp: boolean): URL {
  // A URL object has lost how the issuer is written, and it is compared to the letter.
  if (typeof issuer !== "string") throw optionError("issuer", issuer, "a string, written as in the server's metadata");
  const url = endpointUrl("issuer", issuer, allowHttp);
  if (/[?#]/.test(issuer)) throw new TypeError(`"issuer" must not have a query or a fragment (RFC 8414 section 2)`);
  if (url.pathname.includes("/.well-known/")) {
    throw new TypeError(`"issuer" must be the issuer itself, without the /.well-known/ part of its metadata's URL`);
  }
  return url;
}

/** One lookup, and how many wait for it. */
interface Lookup {
  readonly promise: Promise<Endpoints>;
  readonly controller: AbortController;
  waiting: number;
}

/** The endpoints of one issuer: looked up once, by the first who asks, for all who ask meanwhile and later. */
export class Discovery {
  readonly #settings: DiscoverySettings;
  #running: Lookup | undefined;
  #found: Endpoints | undefined;

  constructor(settings: DiscoverySettings) {
    this.#settings = settings;
  }

  /** @throws {RemintError} When there is no metadata to be had. When `signal` fires: its reason, unwrapped. */
  async endpoints(signal: AbortSignal): Promise<Endpoints> {
    signal.throwIfAborted();
    if (this.#found !== undefined) return this.#found;
    const lookup = (this.#running ??= this.#start());
    lookup.waiting++;
    try {
      return await leaveOnAbort(lookup.promise, signal);
    } finally {
      // The last one to leave, with its outcome or without, ends the lookup; a failure is not kept.
      if (--lookup.waiting === 0) {
        this.#running = undefined;
        lookup.controller.abort();
      }
    }
  }

  /** The metadata turned out to be out of date: the next request looks again. */
  forget(): void {
    this.#found = undefined;
  }

  #start(): Lookup {
    const controller = new AbortController();
    const run = async (): Promise<Endpoints> => (this.#found = await lookUp(this.#settings, controller.signal));
    return { promise: run(), controller, waiting: 0 };
  }
}

async function lookUp(settings: DiscoverySettings, signal: AbortSignal): Promise<Endpoints> {
  const misses: RemintError[] = [];
  for (const algorithm of ALGORITHMS) {
    const answer = await documentOf(settings, algorithm, signal);
    const metadata = isRemintError(answer) ? answer : await metadataIn(answer, settings.issuer);
    if (!isRemintError(metadata)) return endpointsOf(settings, metadata);
    misses.push(metadata);
  }
  const message = `no metadata of the issuer ${settings.issuer}: ${misses.map((miss) => miss.message).join("; ")}`;
  throw new RemintError("ERR_TOKEN_RESPONSE", message, { retryable: misses.some(({ retryable }) => retryable) });
}

/** One of the two documents. A redirect is a miss: many servers send whoever asks for an unknown path to sign in. */
async function documentOf(
  { issuer, fetch }: DiscoverySettings,
  algorithm: (typeof ALGORITHMS)[number],
  signal: AbortSignal,
): Promise<TokenAnswer | RemintError> {
  let answer!: TokenAnswer | RemintError;
  await discoveryRequest(new URL(issuer), {
    algorithm,
    [allowInsecureRequests]: true, // issuerUrl has judged it by S1, which knows loopback
    [customFetch]: async (url, { headers, method }) => {
      const init = { headers, method, redirect: "manual", signal } as const;
      const asked = postToken({ endpoint: url, role: DISCOVERY, fetch, redact: (text) => text }, url, init);
      answer = await asked.catch((error: unknown) => {
        if (isRemintError(error) && error.code === "ERR_TOKEN_RESPONSE") return error;
        throw error;
      });
      return new Response(null);
    },
  });
  return answer;
}

/**
 * The metadata in an answer, or why there is none in it: then the other document may have it.
 *
 * @throws {RemintError} When it is of another issuer.
 */
async function metadataIn(answer: TokenAnswer, issuer: string): Promise<AuthorizationServer | RemintError> {
  const { endpoint, status, body } = answer;
  if (status !== 200) {
    const retryable = isTransientStatus(status);
    return new RemintError("ERR_TOKEN_RESPONSE", `${endpoint} answered ${status}`, { retryable });
  }
  const found = await processDiscoveryResponse(new URL(issuer), new Response(body)).catch(documentOfAnother);
  if (found === undefined) return new RemintError("ERR_TOKEN_RESPONSE", `${endpoint} answered 200 without metadata`);
  // oauth4webapi compares URLs; RFC 8414 section 3.3 says identical.
  if (found.issuer === issuer) return found;
  const named = shown(found.issuer, (text) => text) ?? "none";
  throw tokenResponseError(
    `${endpoint} is the metadata of another issuer, "${named}": "issuer" must be written exactly as there, or is wrong`,
  );
}

/** What oauth4webapi found and refused because of its issuer; `undefined` when it is no metadata at all. */
function documentOfAnother(error: unknown): Pick<AuthorizationServer, "issuer"> | undefined {
  const { code, cause } = error as { code?: unknown; cause?: { body?: { issuer: string } } };
  return code === JSON_ATTRIBUTE_COMPARISON ? cause?.body : undefined;
}

function endpointsOf({ issuer, allowHttp, certificate }: DiscoverySettings, metadata: AuthorizationServer): Endpoints {
  const listed = { ...metadata, ...(certificate && metadata.mtls_endpoint_aliases) };
  const checked = (name: "token_endpoint" | "revocation_endpoint"): URL => {
    try {
      return endpointUrl(name, listed[name], allowHttp);
    } catch (error) {
      const why = error instanceof Error ? error.message : "";
      throw tokenResponseError(`the metadata of the issuer ${issuer} cannot be used: ${why}`);
    }
  };
  return {
    issuer,
    token: checked("token_endpoint"),
    // Judged when it is asked for: a wrong one is no reason not to mint.
    revocation: () => (listed.revocation_endpoint === undefined ? undefined : checked("revocation_endpoint")),
  };
}
