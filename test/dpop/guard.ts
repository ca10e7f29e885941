/**
 * Turns a test server into one that requires DPoP proofs. `jose` verifies them, not our own code, with the checks of RFC 9449
 * section 4.3, the replay check and nonces. The server records each proof, and why it refused a request.
 */
import { createHash } from "node:crypto";
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify, type JWK } from "jose";
import type { Answer, Api, ApiRequest, AuthServer, TokenRequest } from "remint/testing";

/** A proof whose signature is good. Its nonce may still be wrong. */
export interface VerifiedProof {
  readonly jti: string;
  readonly htm: string;
  readonly htu: string;
  readonly iat: number;
  readonly ath?: string;
  readonly nonce?: string;
  /** The thumbprint of the proof's key. */
  readonly jkt: string;
  readonly jwk: JWK;
  readonly alg: string;
}

/** The settings of a server that requires proofs, and what it recorded. */
export interface Guard {
  /** The nonce that a proof must have. `undefined` means none. */
  nonce: string | undefined;
  /** The nonce that the next good answer carries. Proofs must have it from then on. */
  nextNonce: string | undefined;
  /** Every proof, oldest first, also those whose nonce was refused. */
  readonly proofs: VerifiedProof[];
  /** Why requests were refused, oldest first. */
  readonly refusals: string[];
}

/** The guard of a token endpoint. */
export interface AuthGuard extends Guard {
  /** For each access token, the thumbprint of the key that it is bound to. */
  readonly keyOf: Map<string, string>;
}

type Headers = Readonly<Record<string, unknown>>;

class Refused extends Error {}

function newGuard(nonce: string | undefined): Guard & { readonly seen: Set<string> } {
  return { nonce, nextNonce: undefined, proofs: [], refusals: [], seen: new Set() };
}

async function proofIn(headers: Headers): Promise<VerifiedProof> {
  const { dpop } = headers;
  // Node joins two headers of one name with a comma. A JWT has no comma, so two proofs fail the verification.
  if (typeof dpop !== "string") throw new Refused("no proof");
  const { payload, protectedHeader } = await jwtVerify(dpop, EmbeddedJWK, {
    typ: "dpop+jwt",
    algorithms: ["ES256", "Ed25519", "EdDSA", "RS256", "PS256"],
    requiredClaims: ["jti", "htm", "htu", "iat"],
    maxTokenAge: "60s",
  });
  const { jwk = {}, alg } = protectedHeader;
  return { ...(payload as unknown as VerifiedProof), jkt: await calculateJwkThumbprint(jwk), jwk, alg };
}

async function check(
  guard: ReturnType<typeof newGuard>,
  method: string,
  url: string,
  headers: Headers,
): Promise<VerifiedProof> {
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

/** Returns the headers that tell the client the right nonce, or `undefined` if the proof has it. */
function nonceFault(guard: Guard, proof: VerifiedProof): { "dpop-nonce": string } | undefined {
  return guard.nonce === undefined || proof.nonce === guard.nonce ? undefined : { "dpop-nonce": guard.nonce };
}

function nonceHeaders(guard: Guard): Record<string, string> {
  if (guard.nextNonce === undefined) return {};
  guard.nonce = guard.nextNonce;
  guard.nextNonce = undefined;
  return { "dpop-nonce": guard.nonce };
}

/**
 * Makes a test server's token endpoint require proofs (RFC 9449 sections 5 and 8). Every request with a good proof gets a
 * token, whatever its grant.
 */
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
      // Token exchange requires this member (RFC 8693 section 2.2.1). The other grants ignore it.
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

/** Makes an API require proofs and the tokens of that server (RFC 9449 sections 7 and 9). */
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

/** Returns the token of each request to an API, oldest first. */
export function tokensSent(api: Api): (string | undefined)[] {
  return api.requests.map(({ headers }) => headers.authorization?.replace(/^DPoP /, ""));
}
