/**
 * The key pair proofs are made with: the user's, imported from a JWK, or generated. The private half is never exported,
 * stored or printed here (S7).
 *
 * @module
 */
import { generateKeyPair } from "dpop";
import { toBase64url } from "../base/bytes.ts";
import { digest } from "../base/digest.ts";
import { kindOf, optionError } from "../base/options.ts";
import type { KeyPair } from "dpop";

/** What `dpop` signs with: keys on P-256 and Ed25519, and RSA keys of at least 2048 bits. */
export type DpopAlgorithm = "ES256" | "Ed25519" | "RS256" | "PS256";
/** A pair of WebCrypto keys; the public one can be exported, the private one need not and should not. */
export type DpopKeyPair = KeyPair;
/** A private key as a JWK (RFC 7517 section 4, RFC 7518 section 6), with its public members. */
export interface DpopPrivateKey {
  readonly kty?: string | undefined;
  readonly crv?: string | undefined;
  readonly x?: string | undefined;
  readonly y?: string | undefined;
  readonly n?: string | undefined;
  readonly e?: string | undefined;
  readonly d?: string | undefined;
  readonly p?: string | undefined;
  readonly q?: string | undefined;
  readonly dp?: string | undefined;
  readonly dq?: string | undefined;
  readonly qi?: string | undefined;
  /** For RSA: RS256 or PS256. */
  readonly alg?: string | undefined;
  /** What a JWK says beside is not looked at. */
  readonly kid?: string | undefined;
  readonly use?: string | undefined;
  readonly key_ops?: readonly string[] | undefined;
  readonly ext?: boolean | undefined;
}

/** Which key. */
export interface KeyOptions {
  readonly keyPair?: DpopKeyPair | undefined;
  readonly privateKey?: DpopPrivateKey | undefined;
  readonly algorithm?: DpopAlgorithm | undefined;
}

/** A key pair that is there when it is needed. */
export interface KeySource {
  /** RFC 7638, for keys whose public part is known at once. */
  readonly thumbprint: string | undefined;
  readonly load: () => Promise<KeyPair>;
}

interface Kind {
  /** The members of its public key, in the order of RFC 7638 section 3.2. */
  readonly members: readonly string[];
  /** What WebCrypto calls it. */
  readonly name: string;
  readonly namedCurve?: string;
  readonly hash?: string;
}

const EC = ["crv", "kty", "x", "y"];
const OKP = ["crv", "kty", "x"];
const RSA = ["e", "kty", "n"];
/** The first of a kind is its default. */
const KINDS: Readonly<Record<DpopAlgorithm, Kind>> = {
  ES256: { members: EC, name: "ECDSA", namedCurve: "P-256" },
  Ed25519: { members: OKP, name: "Ed25519" },
  RS256: { members: RSA, name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  PS256: { members: RSA, name: "RSA-PSS", hash: "SHA-256" },
};
const ALGORITHMS = Object.keys(KINDS) as DpopAlgorithm[];
/** Private members of a JWK; RSA has more than `d`, and imports without them fail. */
const PRIVATE = ["d", "p", "q", "dp", "dq", "qi"];

/** @throws {TypeError} When an option is wrong; it never shows any of a key. */
export function keySource({ keyPair, privateKey, algorithm }: KeyOptions): KeySource {
  if (algorithm !== undefined && !ALGORITHMS.includes(algorithm)) {
    throw optionError("algorithm", algorithm, `one of ${ALGORITHMS.join(", ")}`);
  }
  if (keyPair !== undefined) {
    if (privateKey !== undefined) throw new TypeError(`"privateKey" must not be given together with "keyPair"`);
    return givenPair(keyPair, algorithm);
  }
  if (privateKey !== undefined) return fromJwk(privateKey, algorithm);
  return { thumbprint: undefined, load: once(() => generateKeyPair(algorithm ?? "ES256")) };
}

/** Runs `load` when it is needed, once; a failure is not kept. */
function once(load: () => Promise<KeyPair>): () => Promise<KeyPair> {
  let loaded: Promise<KeyPair> | undefined;
  return () =>
    (loaded ??= load().catch((error: unknown) => {
      loaded = undefined;
      throw error;
    }));
}

function givenPair(pair: DpopKeyPair, algorithm: DpopAlgorithm | undefined): KeySource {
  const { privateKey, publicKey } = Object(pair) as Partial<DpopKeyPair>;
  if (!isKey(privateKey, "private") || !privateKey.usages.includes("sign")) {
    throw optionError("keyPair", pair, "a pair of CryptoKeys whose privateKey may sign");
  }
  if (!isKey(publicKey, "public") || !publicKey.extractable) {
    throw optionError("keyPair", pair, "a pair of CryptoKeys whose publicKey can be exported: proofs carry it");
  }
  const own = algorithmOf(privateKey);
  if (own === undefined || (algorithm !== undefined && algorithm !== own)) {
    const expected = algorithm ?? `one of ${ALGORITHMS.join(", ")}`;
    throw new TypeError(`"keyPair" must be a pair for ${expected}, got one for ${own ?? privateKey.algorithm.name}`);
  }
  return { thumbprint: undefined, load: async () => pair };
}

function isKey(value: unknown, type: "private" | "public"): value is CryptoKey {
  return (Object(value) as Partial<CryptoKey>).type === type;
}

function algorithmOf({ algorithm }: Pick<CryptoKey, "algorithm">): DpopAlgorithm | undefined {
  const { name, namedCurve, hash } = algorithm as { name: string; namedCurve?: string; hash?: { name: string } };
  return ALGORITHMS.find((candidate) => {
    const kind = KINDS[candidate];
    return kind.name === name && kind.namedCurve === namedCurve && kind.hash === hash?.name;
  });
}

function fromJwk(jwk: DpopPrivateKey, asked: DpopAlgorithm | undefined): KeySource {
  if (typeof jwk !== "object" || jwk === null) throw optionError("privateKey", jwk, "a private JWK");
  const algorithm = algorithmFor(jwk, asked ?? ALGORITHMS.find((known) => known === jwk.alg));
  const parts = jwk as Readonly<Record<string, unknown>>;
  // Copies: what the caller does with the object later changes nothing.
  const { members, ...parameters } = KINDS[algorithm];
  const pick = (names: readonly string[]): JsonWebKey =>
    Object.fromEntries(names.filter((name) => parts[name] !== undefined).map((name) => [name, parts[name]]));
  const open = pick(members);
  for (const name of [...members, "d"]) {
    if (typeof parts[name] === "string") continue;
    throw new TypeError(`"privateKey" must be a private JWK, got one whose "${name}" is ${kindOf(parts[name])}`);
  }
  const secret = pick([...members, ...PRIVATE]);
  return {
    thumbprint: thumbprint(open),
    load: once(async () => {
      const { subtle } = globalThis.crypto;
      try {
        const privateKey = await subtle.importKey("jwk", secret, parameters, false, ["sign"]);
        return { privateKey, publicKey: await subtle.importKey("jwk", open, parameters, true, ["verify"]) };
      } catch {
        // The platform's own error is not kept: nobody promises that it quotes nothing.
        throw new TypeError(
          `"privateKey" could not be imported as a key for ${algorithm}: it is damaged, or incomplete`,
        );
      }
    }),
  };
}

function algorithmFor({ kty, crv }: DpopPrivateKey, asked: string | undefined): DpopAlgorithm {
  const fitting = ALGORITHMS.filter((candidate) => {
    const { members, namedCurve } = KINDS[candidate];
    if (members === RSA) return kty === "RSA";
    return members === EC ? kty === "EC" && crv === namedCurve : kty === "OKP" && crv === candidate;
  });
  const [usual] = fitting;
  if (usual === undefined) {
    throw new TypeError(`"privateKey" must be a private JWK on P-256 or Ed25519, or of RSA, got another kind of key`);
  }
  if (asked === undefined) return usual;
  const chosen = fitting.find((candidate) => candidate === asked);
  if (chosen === undefined) throw new TypeError(`"algorithm" must be ${fitting.join(" or ")} for this "privateKey"`);
  return chosen;
}

/** RFC 7638 section 3, of a key that holds the required members only, in their order. */
function thumbprint(open: JsonWebKey): string {
  const hexadecimal = digest(JSON.stringify(open)).match(/../g)!;
  return toBase64url(Uint8Array.from(hexadecimal, (pair) => parseInt(pair, 16)));
}
