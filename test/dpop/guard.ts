/**
 * Turns a test server into one that wants DPoP proofs, which jose verifies, not our own code: section 4.3 of RFC 9449, with
 * the replay check and nonces. What it refuses it says why, and remembers.
 */
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify, type JWK } from "jose";
import type { Answer, Api, ApiRequest, AuthServer, TokenRequest } from "remint/testing";

/** A proof that was found to be good, but perhaps for its nonce. */
export interface SeenProof {
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  readonly iat: number;
  readonly ath?: string;
  readonly nonce?: string;
  /** The thumbprint of its key. */
  readonly jkt: string;
  readonly jwk: JWK;
  readonly alg: string;
}

/** What a server that wants proofs can be told, and what it saw. */
export interface Guard {
  /** The nonce a proof has to have; `undefined` wants none. */
  nonce: string | undefined;
  /** Sent with answers to good requests, and wanted from then on. */
  nextNonce: string | undefined;
  /** Every proof, in order, also those whose nonce was refused. */
  readonly proofs: SeenProof[];
  /** Why requests were refused. */
  readonly refusals: string[];
}

/** A token endpoint's; it knows which key a token was bound to. */
export interface AuthGuard extends Guard {
  readonly keyOf: Map<string, string>;
}

type Headers = Readonly<Record<string, unknown>>;

class Refused extends Error {}

function newGuard(nonce: string | undefined): Guard & { readonly seen: Set<string> } {
  return { nonce, nextNonce: undefined, proofs: [], refusals: [], seen: new Set() };
}

async function proofIn(headers: Headers): Promise<SeenProof> {
  const { dpop } = headers;
  // Node joins what comes twice by a comma, which no JWT has.
  if (typeof dpop !== "string") throw new Refused("no proof");
  const { payload, protectedHeader } = await jwtVerify(dpop, EmbeddedJWK, {
    typ: "dpop+jwt",
    algorithms: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
    requiredClaims: ["jti", "htm", "htu", "iat"],
    maxTokenAge: "60s",
  });
  const { jwk = {}, alg } = protectedHeader;
  return { ...(payload as unknown as SeenProof), jkt: await calculateJwkThumbprint(jwk), jwk, alg };
}

async function check(
  guard: ReturnType<typeof newGuard>,
  method: string,
  url: string,
  headers: Headers,
): Promise<SeenProof> {
  const proof = await proofIn(headers).catch((error: unknown) => {
    throw new Refused(String(error));
  });
  guard.proofs.push(proof);
  if (guard.seen.has(proof.jti)) throw new Refused("a proof that was seen before");
  guard.seen.add(proof.jti);
  if (proof.htm !== method) throw new Refused(`htm ${proof.htm} for ${method}`);
  if (proof.htu !== url) throw new Refused(`htu ${proof.htu} for ${url}`);
  return proof;
}

/** Whether the proof lacks the nonce, and then the headers that tell it. */
function nonceFault(guard: Guard, proof: SeenProof): { "dpop-nonce": string } | undefined {
  return guard.nonce === undefined || proof.nonce === guard.nonce ? undefined : { "dpop-nonce": guard.nonce };
}

function nonceHeaders(guard: Guard): Record<string, string> {
  if (guard.nextNonce === undefined) return {};
  guard.nonce = guard.nextNonce;
  guard.nextNonce = undefined;
  return { "dpop-nonce": guard.nonce };
}

/** RFC 9449 sections 5 and 8. Every token request with a good proof gets a token, whatever its grant. */
export function guardAuth(auth: AuthServer, nonce?: string): AuthGuard {
  const guard = Object.assign(newGuard(nonce), { keyOf: new Map<string, string>() });
  let minted = 0;
  auth.respondAlways(async ({ method, path, headers }: TokenRequest): Promise<Answer> => {
    try {
      const proof = await check(guard, method, auth.origin + path, headers);
      if (proof.ath !== undefined) throw new Refused("ath without a token");
      const fault = nonceFault(guard, proof);
      if (fault !== undefined) return { status: 400, headers: fault, body: { error: "use_dpop_nonce" } };
      const access_token = `bound-${++minted}`;
      guard.keyOf.set(access_token, proof.jkt);
      // RFC 8693 section 2.2.1 wants the type that was issued; the other grants do not look at it.
      const issued_token_type = "urn:ietf:params:oauth:token-type:access_token";
      const body = { access_token, token_type: "DPoP", expires_in: 3600, issued_token_type };
      return { headers: nonceHeaders(guard), body };
    } catch (error) {
      guard.refusals.push(String(error));
      return { status: 400, body: { error: "invalid_dpop_proof" } };
    }
  });
  return guard;
}

/** RFC 9449 sections 7 and 9: an API for the tokens of that server. */
export function guardApi(api: Api, auth: AuthServer, { keyOf }: AuthGuard, nonce?: string): Guard {
  const guard = newGuard(nonce);
  api.respondAlways(async ({ method, url, headers }: ApiRequest): Promise<Answer> => {
    const path = url.replace(/\?.*$/s, "");
    const [, token] = /^DPoP +(\S+)$/.exec(headers.authorization ?? "") ?? [];
    if (token === undefined) {
      guard.refusals.push("no DPoP token");
      return challenge("DPoP");
    }
    try {
      const proof = await check(guard, method, api.origin + path, headers);
      const fault = nonceFault(guard, proof);
      if (fault !== undefined) return challenge('DPoP error="use_dpop_nonce"', fault);
      const digest = createHash("sha256").update(token).digest("base64url");
      if (proof.ath !== digest) throw new Refused("ath of another token");
      if (!auth.isLive(token) || keyOf.get(token) !== proof.jkt) return challenge('DPoP error="invalid_token"');
      return { headers: nonceHeaders(guard), body: { ok: true, path } };
    } catch (error) {
      guard.refusals.push(String(error));
      return challenge('DPoP error="invalid_dpop_proof"');
    }
  });
  return guard;
}

function challenge(value: string, headers: Record<string, string> = {}): Answer {
  return { status: 401, headers: { "www-authenticate": value, ...headers }, body: { ok: false } };
}

/** The token behind each request to an API. */
export function tokensSent(api: Api): (string | undefined)[] {
  return api.requests.map(({ headers }) => headers.authorization?.replace(/^DPoP /, ""));
}
