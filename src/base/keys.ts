/**
 * A private key as the user has it (CryptoKey, JWK, PEM), made ready to sign JWTs with WebCrypto.
 *
 * Its form and algorithm are judged when it is given; it is imported at the first signature, once. Nothing here keeps it
 * where it could be printed, and no message quotes any of it (S5).
 *
 * @module
 */
import type { CryptoKey, JWK } from "oauth4webapi";
import { assertString, optionError } from "./options.ts";
import { pemKey } from "./pem.ts";

/** A private key: a CryptoKey that may sign, a private JWK, or PKCS#8 as PEM (`-----BEGIN PRIVATE KEY-----`). */
export type SigningKey = CryptoKey | JWK | string;

/** Signature algorithms a server may ask for; `EdDSA` and `Ed25519` are the old and the new name of one. */
export type SigningAlgorithm =
  | "ES256"
  | "ES384"
  | "ES512"
  | "RS256"
  | "RS384"
  | "RS512"
  | "PS256"
  | "PS384"
  | "PS512"
  | "EdDSA"
  | "Ed25519";

/** How a key signs. */
export interface SigningKeyOptions {
  /** The key, or a function that is asked before every signature, so that a rotated key is picked up. */
  readonly key: SigningKey | (() => SigningKey | Promise<SigningKey>);
  /** @defaultValue the JWK's `alg`, else what the key is for: ES256, ES384, ES512 by curve, RS256, EdDSA */
  readonly alg?: SigningAlgorithm | undefined;
  /** Which of the client's keys this is. @defaultValue the JWK's `kid` */
  readonly kid?: string | undefined;
}

/** A key that is ready. */
export interface ImportedKey {
  readonly key: CryptoKey;
  readonly alg: SigningAlgorithm;
  readonly kid: string | undefined;
}

/** What a key has to be imported as. `kind` tells apart keys that can not stand in for each other. */
interface Parameters {
  readonly kind: string;
  readonly name: string;
  readonly hash?: string;
  readonly namedCurve?: string;
}

interface CheckedKey {
  readonly alg: SigningAlgorithm;
  readonly kid: string | undefined;
  readonly load: () => Promise<CryptoKey>;
}

/** The first of a kind is its default. */
const ALGORITHMS: Readonly<Record<SigningAlgorithm, Parameters>> = {
  ES256: { kind: "P-256", name: "ECDSA", namedCurve: "P-256" },
  ES384: { kind: "P-384", name: "ECDSA", namedCurve: "P-384" },
  ES512: { kind: "P-521", name: "ECDSA", namedCurve: "P-521" },
  RS256: { kind: "RSA", name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" },
  RS384: { kind: "RSA", name: "RSASSA-PKCS1-v1_5", hash: "SHA-384" },
  RS512: { kind: "RSA", name: "RSASSA-PKCS1-v1_5", hash: "SHA-512" },
  PS256: { kind: "RSA", name: "RSA-PSS", hash: "SHA-256" },
  PS384: { kind: "RSA", name: "RSA-PSS", hash: "SHA-384" },
  PS512: { kind: "RSA", name: "RSA-PSS", hash: "SHA-512" },
  EdDSA: { kind: "Ed25519", name: "Ed25519" },
  Ed25519: { kind: "Ed25519", name: "Ed25519" },
};
const NAMES = Object.keys(ALGORITHMS) as readonly SigningAlgorithm[];

/** What the options are called where the user wrote them, so that errors name what is there. */
export interface KeyOptionNames {
  readonly key: string;
  /** `undefined` where the algorithm is not the user's to choose. */
  readonly alg?: string | undefined;
  readonly kid: string;
}

const OWN_NAMES: KeyOptionNames = { key: "key", alg: "alg", kid: "kid" };

const EXPECTED = "a CryptoKey that may sign, a private JWK or a PEM string (PKCS#8)";

/**
 * Checks a key, and makes the function that has it imported when it is called for the first time.
 *
 * @throws {TypeError} When it is no private key this runtime can sign with; it never shows any of it.
 */
export function signingKey(
  { key, alg, kid }: SigningKeyOptions,
  names: KeyOptionNames = OWN_NAMES,
): () => Promise<ImportedKey> {
  if (alg !== undefined && !NAMES.includes(alg))
    throw optionError(names.alg ?? "alg", alg, `one of ${NAMES.join(", ")}`);
  if (kid !== undefined) assertString(names.kid, kid);
  const once = (given: SigningKey): (() => Promise<ImportedKey>) => {
    const { load, ...rest } = checkedKey(given, { alg, kid, names });
    let loaded: Promise<CryptoKey> | undefined;
    return async () => ({ ...rest, key: await (loaded ??= load()) });
  };
  if (typeof key !== "function") return once(key);
  let last: SigningKey | undefined;
  let current: (() => Promise<ImportedKey>) | undefined;
  return async () => {
    const given = await key();
    if (current === undefined || given !== last) {
      current = once(given);
      last = given;
    }
    return current();
  };
}

/** What is wanted of a key. */
interface Wanted {
  readonly alg: SigningAlgorithm | undefined;
  readonly kid: string | undefined;
  readonly names: KeyOptionNames;
}

function checkedKey(key: unknown, wanted: Wanted): CheckedKey {
  const { kid, names } = wanted;
  if (typeof key === "string") {
    const { kind, der } = pemKey(key, names.key);
    const alg = algorithmFor(kind, wanted);
    const load = (): Promise<CryptoKey> =>
      imported({ alg, names }, (params) => subtle().importKey("pkcs8", der, ...params));
    return { alg, kid, load };
  }
  if (typeof key !== "object" || key === null) throw optionError(names.key, key, EXPECTED);
  return isCryptoKey(key) ? checkedCryptoKey(key, wanted) : checkedJwk(key, wanted);
}

function isCryptoKey(key: object): key is CryptoKey {
  return "usages" in key && "algorithm" in key && "type" in key;
}

function checkedCryptoKey(key: CryptoKey, { alg, kid, names }: Wanted): CheckedKey {
  if (key.type !== "private") throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a ${key.type} CryptoKey`);
  if (!key.usages.includes("sign")) {
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a CryptoKey without "sign" among its usages`);
  }
  const { name, hash, namedCurve } = key.algorithm as { name: string; hash?: { name: string }; namedCurve?: string };
  const fitting = NAMES.filter((candidate) => {
    const known = ALGORITHMS[candidate];
    return known.name === name && known.hash === hash?.name && known.namedCurve === namedCurve;
  });
  const chosen = alg ?? fitting[0];
  if (chosen === undefined || !fitting.includes(chosen)) {
    throw new TypeError(
      `"${names.key}" is a CryptoKey for ${name}, which can not sign ${alg ?? `any of ${NAMES.join(", ")}`}`,
    );
  }
  return { alg: chosen, kid, load: async () => key };
}

function checkedJwk(jwk: JWK, wanted: Wanted): CheckedKey {
  const { kid, names } = wanted;
  const { kty, crv, d, n, e, x, y, p, q, dp, dq, qi } = jwk;
  if (typeof kty !== "string") throw optionError(names.key, jwk, EXPECTED);
  if (typeof d !== "string")
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a JWK without its private part "d"`);
  const own = NAMES.find((candidate) => candidate === jwk.alg);
  const alg = algorithmFor(kty === "RSA" ? kty : (crv ?? kty), { ...wanted, alg: wanted.alg ?? own });
  // Without "use", "key_ops" and "alg": they say what the key is for, and an import refuses what it does not expect.
  const bare = Object.entries({ kty, crv, d, n, e, x, y, p, q, dp, dq, qi }).filter(([, part]) => part !== undefined);
  const load = (): Promise<CryptoKey> =>
    imported({ alg, names }, (params) => subtle().importKey("jwk", Object.fromEntries(bare), ...params));
  return { alg, kid: kid ?? (typeof jwk.kid === "string" ? jwk.kid : undefined), load };
}

function algorithmFor(kind: string, { alg, names }: Wanted): SigningAlgorithm {
  const fitting = NAMES.filter((name) => ALGORITHMS[name].kind === kind);
  const chosen = alg ?? fitting[0];
  if (chosen !== undefined && fitting.includes(chosen)) return chosen;
  if (fitting.length === 0) throw new TypeError(`"${names.key}" must be an RSA, P-256, P-384, P-521 or Ed25519 key`);
  if (names.alg === undefined)
    throw new TypeError(`"${names.key}" is a ${kind} key, which can not sign ${String(alg)}`);
  throw new TypeError(`"${names.alg}" must be one of ${fitting.join(", ")} for this key (${kind}), got ${String(alg)}`);
}

type ImportParameters = [algorithm: Omit<Parameters, "kind">, extractable: false, usages: ["sign"]];

async function imported(
  { alg, names }: { readonly alg: SigningAlgorithm; readonly names: KeyOptionNames },
  load: (parameters: ImportParameters) => Promise<CryptoKey>,
): Promise<CryptoKey> {
  const { kind: _, ...algorithm } = ALGORITHMS[alg];
  try {
    return await load([algorithm, false, ["sign"]]);
  } catch {
    // The platform's own error is not kept: nobody promises that it quotes nothing.
    throw new TypeError(
      `"${names.key}" could not be imported as a private key for ${alg}: it is damaged, or incomplete`,
    );
  }
}

function subtle(): SubtleCrypto {
  return globalThis.crypto.subtle;
}
