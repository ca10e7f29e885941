/**
 * The key pair that signs DPoP proofs: given by the user, imported from a JWK, or generated. The private key is never
 * exported, stored or printed (S7).
 *
 * The table of algorithms and the checks of private keys are in `base/keys.ts`. This file adds what a proof needs
 * beyond a signature: the public key, and the thumbprint. The proofs are made in `dpop-key.ts`.
 *
 * @module
 */
import { generateKeyPair } from "dpop";
import { toBase64url } from "../base/bytes.ts";
import { digestBytes } from "../base/digest.ts";
import {
  algorithmsOfCryptoKey,
  algorithmsOfKind,
  assertAlgorithm,
  chooseAlgorithm,
  importableJwk,
  importWith,
  kindOfJwk,
  statedAlgorithm,
} from "../base/keys.ts";
import { kindOf, optionError } from "../base/options.ts";
import { assertSigner, isSigner } from "../base/signer.ts";
import type { KeyPair } from "dpop";
import type { PrivateJwk } from "../base/keys.ts";
import type { Signer } from "../base/signer.ts";

/** A signature algorithm for proofs. RSA keys need at least 2048 bits. */
export type DpopAlgorithm = "ES256" | "Ed25519" | "RS256" | "PS256";

/** A pair of WebCrypto keys. The public key must be exportable. The private key need not be, and should not be. */
export type DpopKeyPair = KeyPair;

/** The options that choose the key. */
export interface KeyOptions {
  readonly keyPair?: DpopKeyPair | undefined;
  readonly privateKey?: PrivateJwk | Signer | undefined;
  readonly publicKey?: PrivateJwk | undefined;
  readonly algorithm?: DpopAlgorithm | undefined;
}

/** A signer, and the public key of its signatures as a JWK. */
export interface SignerPair {
  readonly signer: Signer;
  readonly jwk: PrivateJwk;
}

/** A key pair that is imported or generated when it is first needed. */
export interface KeySource {
  /** The RFC 7638 thumbprint. `undefined` when the public key is not known before the pair is loaded. */
  readonly thumbprint: string | undefined;
  readonly load: () => Promise<KeyPair | SignerPair>;
}

/**
 * Checks the options and returns the key pair they choose. Without a key, a pair is generated.
 *
 * @throws {TypeError} When an option is wrong. The message shows no part of a key.
 */
export function keySource({ keyPair, privateKey, publicKey, algorithm }: KeyOptions): KeySource {
  if (algorithm !== undefined) assertAlgorithm("algorithm", algorithm, ALGORITHMS);
  if (keyPair !== undefined) {
    if (privateKey !== undefined) throw new TypeError(`"privateKey" must not be given together with "keyPair"`);
    return fromPair(keyPair, algorithm);
  }
  if (isSigner(privateKey)) return fromSigner(privateKey, publicKey, algorithm);
  if (publicKey !== undefined) {
    throw new TypeError(`"publicKey" must be given together with a signer as "privateKey" only: other keys have it`);
  }
  if (privateKey !== undefined) return fromJwk(privateKey, algorithm);
  return { thumbprint: undefined, load: loadOnce(() => generateKeyPair(algorithm ?? "ES256")) };
}

const EC_MEMBERS = ["crv", "kty", "x", "y"];
const OKP_MEMBERS = ["crv", "kty", "x"];
const RSA_MEMBERS = ["e", "kty", "n"];
/** The members of the public key as a JWK, in the order that a thumbprint needs (RFC 7638 section 3.2). */
const PUBLIC_MEMBERS: Readonly<Record<DpopAlgorithm, readonly string[]>> = {
  ES256: EC_MEMBERS,
  Ed25519: OKP_MEMBERS,
  RS256: RSA_MEMBERS,
  PS256: RSA_MEMBERS,
};
const ALGORITHMS = Object.keys(PUBLIC_MEMBERS) as readonly DpopAlgorithm[];

function fromPair(pair: DpopKeyPair, algorithm: DpopAlgorithm | undefined): KeySource {
  const { privateKey, publicKey } = Object(pair) as Partial<DpopKeyPair>;
  if (!isKey(privateKey, "private") || !privateKey.usages.includes("sign")) {
    throw optionError("keyPair", pair, "a pair of CryptoKeys whose privateKey may sign");
  }
  if (!isKey(publicKey, "public") || !publicKey.extractable) {
    throw optionError("keyPair", pair, "a pair of CryptoKeys whose publicKey can be exported: proofs carry it");
  }
  const fitting = algorithmsOfCryptoKey(privateKey, ALGORITHMS);
  if (chooseAlgorithm(fitting, algorithm) === undefined) {
    const expected = algorithm ?? `one of ${ALGORITHMS.join(", ")}`;
    const actual = fitting[0] ?? privateKey.algorithm.name;
    throw new TypeError(`"keyPair" must be a pair for ${expected}, got one for ${actual}`);
  }
  const taken = { privateKey, publicKey };
  return { thumbprint: undefined, load: async () => taken };
}

function isKey(value: unknown, type: "private" | "public"): value is CryptoKey {
  return (Object(value) as Partial<CryptoKey>).type === type;
}

function fromSigner(signer: Signer, publicKey: unknown, asked: DpopAlgorithm | undefined): KeySource {
  assertSigner("privateKey", signer);
  const algorithm = ALGORITHMS.find((name) => name === signer.alg);
  if (algorithm === undefined) {
    throw optionError("privateKey.alg", signer.alg, `one of ${ALGORITHMS.join(", ")}`);
  }
  if (asked !== undefined && asked !== algorithm) {
    throw new TypeError(`"algorithm" must be ${algorithm} for this "privateKey"`);
  }
  if (typeof publicKey !== "object" || publicKey === null) {
    throw optionError("publicKey", publicKey, "the public key of the signer as a JWK: proofs carry it");
  }
  if (!algorithmsOfKind(kindOfJwk(publicKey), ALGORITHMS).includes(algorithm)) {
    throw new TypeError(`"publicKey" must be a JWK for ${algorithm}, got one for another algorithm`);
  }
  const jwk = membersOf("publicKey", publicKey, PUBLIC_MEMBERS[algorithm]);
  const pair = { signer, jwk };
  return { thumbprint: thumbprint(jwk), load: async () => pair };
}

function fromJwk(jwk: PrivateJwk, asked: DpopAlgorithm | undefined): KeySource {
  if (typeof jwk !== "object" || jwk === null) throw optionError("privateKey", jwk, "a private JWK");
  const algorithm = algorithmFor(jwk, asked ?? statedAlgorithm(jwk, ALGORITHMS));
  const publicJwk = publicPart(jwk, algorithm);
  const privateJwk = importableJwk(jwk);
  const load = (): Promise<KeyPair> =>
    importWith("privateKey", algorithm, async (parameters) => {
      const { subtle } = globalThis.crypto;
      const privateKey = await subtle.importKey("jwk", privateJwk, parameters, false, ["sign"]);
      return { privateKey, publicKey: await subtle.importKey("jwk", publicJwk, parameters, true, ["verify"]) };
    });
  return { thumbprint: thumbprint(publicJwk), load: loadOnce(load) };
}

function algorithmFor(jwk: PrivateJwk, asked: DpopAlgorithm | undefined): DpopAlgorithm {
  const fitting = algorithmsOfKind(kindOfJwk(jwk), ALGORITHMS);
  if (fitting.length === 0) {
    throw new TypeError(`"privateKey" must be a private JWK on P-256 or Ed25519, or of RSA, got another kind of key`);
  }
  const chosen = chooseAlgorithm(fitting, asked);
  if (chosen === undefined) throw new TypeError(`"algorithm" must be ${fitting.join(" or ")} for this "privateKey"`);
  return chosen;
}

/** A copy of the public members. @throws {TypeError} When one of them, or the private part, is missing. */
function publicPart(jwk: PrivateJwk, algorithm: DpopAlgorithm): JsonWebKey {
  const { d: _, ...publicJwk } = membersOf("privateKey", jwk, [...PUBLIC_MEMBERS[algorithm], "d"]);
  return publicJwk;
}

/** A copy of some members of a JWK. @throws {TypeError} When one of them is missing. */
function membersOf(name: string, jwk: PrivateJwk, members: readonly string[]): JsonWebKey {
  const parts = jwk as Readonly<Record<string, unknown>>;
  for (const member of members) {
    if (typeof parts[member] === "string") continue;
    const what = name === "privateKey" ? "a private JWK" : "a JWK";
    throw new TypeError(`"${name}" must be ${what}, got one whose "${member}" is ${kindOf(parts[member])}`);
  }
  return Object.fromEntries(members.map((member) => [member, parts[member]]));
}

/** The thumbprint of a public JWK that has only the required members, in their order (RFC 7638 section 3). */
function thumbprint(publicJwk: JsonWebKey): string {
  return toBase64url(digestBytes(JSON.stringify(publicJwk)));
}

/** Loads at the first call and keeps the pair. A failed load is not kept: the next call loads again. */
function loadOnce(load: () => Promise<KeyPair>): () => Promise<KeyPair> {
  let loaded: Promise<KeyPair> | undefined;
  return () =>
    (loaded ??= load().catch((error: unknown) => {
      loaded = undefined;
      throw error;
    }));
}
