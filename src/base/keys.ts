/**
 * A private key as the user has it (CryptoKey, JWK, PEM), made ready to sign JWTs with WebCrypto.
 *
 * Its form and algorithm are judged when it is given; it is imported at the first signature, once. Nothing here keeps it
 * where it could be printed, and no message quotes any of it (S5).
 *
 * @module
 */
import { assertString, optionError } from "./options.ts";

/** A private key: a CryptoKey that may sign, a private JWK, or PKCS#8 as PEM (`-----BEGIN PRIVATE KEY-----`). */
export type SigningKey = CryptoKey | PrivateJwk | string;

/** A private key as a JWK (RFC 7517 section 4, RFC 7518 section 6). */
export interface PrivateJwk {
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
  readonly alg?: string | undefined;
  readonly kid?: string | undefined;
  readonly use?: string | undefined;
  readonly key_ops?: readonly string[] | undefined;
  readonly ext?: boolean | undefined;
}

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

/** What a key has to be imported as. `kind` tells apart keys that cannot stand in for each other. */
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
      `"${names.key}" is a CryptoKey for ${name}, which cannot sign ${alg ?? `any of ${NAMES.join(", ")}`}`,
    );
  }
  return { alg: chosen, kid, load: async () => key };
}

function checkedJwk(jwk: PrivateJwk, wanted: Wanted): CheckedKey {
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
  if (names.alg === undefined) throw new TypeError(`"${names.key}" is a ${kind} key, which cannot sign ${String(alg)}`);
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

// MERGED PKCS#8 private keys as PEM. Older forms are refused with the command that converts them: WebCrypto reads no other.
// MERGED
// MERGED @see [RFC 7468 section 10](https://www.rfc-editor.org/rfc/rfc7468.html#section-10)
/** What a PEM holds. */
export interface PemKey {
  /** `RSA`, `P-256`, `P-384`, `P-521`, `Ed25519`; else the key is of a kind we do not know. */
  readonly kind: string;
  readonly der: Uint8Array<ArrayBuffer>;
}

const CONVERSION = "openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.pkcs8.pem";

/** What keys look like that are not PKCS#8, or encrypted. */
const OTHER_FORMS: readonly (readonly [label: string, form: string])[] = [
  ["RSA PRIVATE KEY", "PKCS#1"],
  ["EC PRIVATE KEY", "SEC1"],
  ["ENCRYPTED PRIVATE KEY", "encrypted"],
];

/** Object identifiers of the key's algorithm (RFC 5208 section 5), in hexadecimal, with the curve's behind. */
const KINDS: readonly (readonly [identifier: string, kind: string])[] = [
  ["2a864886f70d010101", "RSA"],
  ["2a8648ce3d020106082a8648ce3d030107", "P-256"],
  ["2a8648ce3d020106052b81040022", "P-384"],
  ["2a8648ce3d020106052b81040023", "P-521"],
  ["2b6570", "Ed25519"],
];

/** Version 0 or 1, then the sequence that begins with the algorithm's identifier; lengths are not looked at. */
const PREFIX = /^30(?:82.{4}|81.{2}|[0-7].)02010[01]30.{2}06.{2}/;

/** @throws {TypeError} When the text is not an unencrypted PKCS#8 key. It never shows any of it. */
export function pemKey(text: string, name = "key"): PemKey {
  for (const [label, form] of OTHER_FORMS) {
    if (!text.includes(`-----BEGIN ${label}-----`)) continue;
    throw new TypeError(
      `"${name}" must be PKCS#8 ("BEGIN PRIVATE KEY"), got "BEGIN ${label}" (${form}): ${CONVERSION}`,
    );
  }
  // Environment variables often carry line ends as the two characters \n.
  const [, body] =
    /-----BEGIN PRIVATE KEY-----([\s\S]*?)-----END PRIVATE KEY-----/.exec(text.replace(/\\n/g, "\n")) ?? [];
  const der = body === undefined ? undefined : decoded(body);
  if (der === undefined) {
    throw new TypeError(
      `"${name}" must be a PEM with "-----BEGIN PRIVATE KEY-----" (PKCS#8), got a string that is not one`,
    );
  }
  const start = Array.from(der.subarray(0, 48), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const identifiers = start.replace(PREFIX, "");
  return { kind: KINDS.find(([identifier]) => identifiers.startsWith(identifier))?.[1] ?? "unknown", der };
}

function decoded(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64.replace(/\s/g, "")), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
