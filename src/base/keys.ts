/**
 * Private keys that sign JWTs: checked in the form in which the user has them (CryptoKey, JWK, PEM), and imported into
 * WebCrypto. The one table of signature algorithms is here too.
 *
 * The form and the algorithm of a key are checked when the key is given. The key is imported once, at the first
 * signature. No message quotes any part of a key (S5).
 *
 * Not here: the JWTs that are signed (`oauth/client-authentication.ts`), and what DPoP needs of its keys beyond a
 * signature (`dpop/key-pair.ts`).
 *
 * @module
 */
import { assertObject, assertString, optionError } from "./options.ts";
import { assertSigner, isSigner } from "./signer.ts";
import { callUserFunction } from "./user-function.ts";
import type { Signer, SigningAlgorithm } from "./signer.ts";

export type { Signer, SigningAlgorithm } from "./signer.ts";

/**
 * A WebCrypto key. Taken from the function that makes one: the name `CryptoKey` is global only with the DOM's types, and a
 * server has Node's.
 */
export type CryptoKey = Extract<
  Awaited<ReturnType<typeof globalThis.crypto.subtle.generateKey>>,
  { readonly type: string }
>;

/**
 * A private key: a CryptoKey that may sign, a private JWK, a PEM with PKCS#8 (`-----BEGIN PRIVATE KEY-----`), or a
 * {@link Signer} for a key that never leaves a KMS.
 */
export type SigningKey = CryptoKey | PrivateJwk | Signer | string;

/**
 * A private key as a JWK. It holds its public members too.
 *
 * @see [RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517.html#section-4)
 * @see [RFC 7518 section 6](https://www.rfc-editor.org/rfc/rfc7518.html#section-6)
 */
export interface PrivateJwk {
  /** The key type: `RSA`, `EC` or `OKP`. */
  readonly kty?: string | undefined;
  /** The curve of an `EC` or `OKP` key, for example `P-256` or `Ed25519`. */
  readonly crv?: string | undefined;
  /** The public x coordinate of an `EC` key, or the public key of an `OKP` key. */
  readonly x?: string | undefined;
  /** The public y coordinate of an `EC` key. */
  readonly y?: string | undefined;
  /** The public modulus of an `RSA` key. */
  readonly n?: string | undefined;
  /** The public exponent of an `RSA` key. */
  readonly e?: string | undefined;
  /** The private key. For `RSA`, the private exponent. */
  readonly d?: string | undefined;
  /** The first prime factor of an `RSA` key. */
  readonly p?: string | undefined;
  /** The second prime factor of an `RSA` key. */
  readonly q?: string | undefined;
  /** The private exponent of an `RSA` key modulo `p - 1`. */
  readonly dp?: string | undefined;
  /** The private exponent of an `RSA` key modulo `q - 1`. */
  readonly dq?: string | undefined;
  /** The inverse of `q` modulo `p` of an `RSA` key. */
  readonly qi?: string | undefined;
  /** The algorithm the key is for, for example `RS256` or `PS256`. Used where no option names another one. */
  readonly alg?: string | undefined;
  /** The key's identifier. A DPoP key has no use for it. */
  readonly kid?: string | undefined;
  /** The key's purpose. Ignored. */
  readonly use?: string | undefined;
  /** The operations the key may be used for. Ignored. */
  readonly key_ops?: readonly string[] | undefined;
  /** Whether the key may be exported. Ignored: an imported key cannot be exported. */
  readonly ext?: boolean | undefined;
}

/** A key to sign with, and how it signs. */
export interface SigningKeyOptions {
  /** The key, or a function that is called before every signature, so that a rotated key is picked up. */
  readonly key: SigningKey | (() => SigningKey | Promise<SigningKey>);
  /**
   * The signature algorithm.
   *
   * @defaultValue the `alg` of the JWK or the signer; otherwise `ES256`, `ES384` or `ES512` by the key's curve, `RS256` for an RSA key,
   *   `EdDSA` for an Ed25519 key; a CryptoKey is for one algorithm only
   */
  readonly alg?: SigningAlgorithm | undefined;
  /** The key's identifier, by which the server finds the public key. @defaultValue the `kid` of the JWK or the signer */
  readonly kid?: string | undefined;
  /**
   * Further members of the JWT's header, for example `{ "x5t#S256": thumbprint }` of the key's certificate.
   *
   * @see [RFC 7515 section 4.1](https://www.rfc-editor.org/rfc/rfc7515.html#section-4.1)
   */
  readonly header?: Readonly<Record<string, unknown>> | undefined;
}

/** A key that is ready to sign. */
export interface ImportedKey {
  readonly key: CryptoKey | Signer;
  readonly alg: SigningAlgorithm;
  /** The header of the JWTs that it signs. */
  readonly header: Readonly<Record<string, unknown>>;
}

/** The names of the options as the user wrote them, so that messages name what the user sees. */
export interface KeyOptionNames {
  readonly key: string;
  /** `undefined` where the user cannot choose the algorithm. */
  readonly alg?: string | undefined;
  readonly kid: string;
}

/**
 * Checks a key, and returns the function that imports it. The import runs at the first call only. If `key` is a
 * function, its answers are checked when they come, and an answer is imported again only when it differs from the one
 * before. If the function fails, or returns no key, the returned function rejects with a `RemintError`.
 *
 * @returns A function that is given the signal of the mint.
 * @throws {TypeError} When this runtime cannot sign with the key. The message shows no part of it.
 */
export function signingKey(
  { key, alg, kid, header = {} }: SigningKeyOptions,
  names: KeyOptionNames = DEFAULT_NAMES,
): (signal?: AbortSignal) => Promise<ImportedKey> {
  if (alg !== undefined) assertAlgorithm(names.alg ?? "alg", alg, ALL_ALGORITHMS);
  if (kid !== undefined) assertString(names.kid, kid);
  assertObject("header", header);
  for (const name of ["alg", "kid", "crit", "b64"]) {
    if (Object.hasOwn(header, name)) throw new TypeError(`"header" must not have "${name}": it is set here`);
  }
  const fixed = { ...header };
  const importOnce = (given: SigningKey): (() => Promise<ImportedKey>) => {
    const { load, ...own } = checkedKey(given, { alg, kid, names });
    const complete = { alg: own.alg, ...(own.kid !== undefined && { kid: own.kid }), ...fixed };
    let loaded: Promise<CryptoKey | Signer> | undefined;
    return async () => ({ alg: own.alg, header: complete, key: await (loaded ??= load()) });
  };
  if (typeof key !== "function") return importOnce(key);
  let last: SigningKey | undefined;
  let current: (() => Promise<ImportedKey>) | undefined;
  return (signal) =>
    callUserFunction(names.key, signal, async () => {
      const given = await key();
      if (current === undefined || given !== last) {
        current = importOnce(given);
        last = given;
      }
      return current();
    });
}

const DEFAULT_NAMES: KeyOptionNames = { key: "key", alg: "alg", kid: "kid" };

const EXPECTED = "a CryptoKey that may sign, a private JWK, a PEM string (PKCS#8) or a signer { alg, kid, sign }";

/** What the options ask of a key. */
interface KeyRequest {
  readonly alg: SigningAlgorithm | undefined;
  readonly kid: string | undefined;
  readonly names: KeyOptionNames;
}

/** A key whose form and algorithm are right. It is not imported yet. */
interface CheckedKey {
  readonly alg: SigningAlgorithm;
  readonly kid: string | undefined;
  readonly load: () => Promise<CryptoKey | Signer>;
}

function checkedKey(key: unknown, request: KeyRequest): CheckedKey {
  if (typeof key === "string") return checkedPem(key, request);
  if (typeof key !== "object" || key === null) throw optionError(request.names.key, key, EXPECTED);
  if (isSigner(key)) return checkedSigner(key, request);
  const { names } = request;
  // Node has keys of its own; WebCrypto cannot sign with them.
  if ("asymmetricKeyType" in key) {
    const how = `pass key.export({ type: "pkcs8", format: "pem" })`;
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a KeyObject; ${how}`);
  }
  if (ArrayBuffer.isView(key) || key instanceof ArrayBuffer) {
    const how = "pass the text of a PEM, or import DER with crypto.subtle.importKey first";
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got bytes: ${how}`);
  }
  return isCryptoKey(key) ? checkedCryptoKey(key, request) : checkedJwk(key, request);
}

function checkedSigner(signer: Signer, { alg, kid, names }: KeyRequest): CheckedKey {
  assertSigner(names.key, signer);
  assertAlgorithm(`${names.key}.alg`, signer.alg, ALL_ALGORITHMS);
  if (alg !== undefined && alg !== signer.alg) {
    throw new TypeError(`"${names.key}" is a signer for ${signer.alg}, which cannot sign ${alg}`);
  }
  return { alg: signer.alg, kid: kid ?? signer.kid, load: async () => signer };
}

function isCryptoKey(key: object): key is CryptoKey {
  return "usages" in key && "algorithm" in key && "type" in key;
}

function checkedCryptoKey(key: CryptoKey, { alg, kid, names }: KeyRequest): CheckedKey {
  if (key.type !== "private") throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a ${key.type} CryptoKey`);
  if (!key.usages.includes("sign")) {
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a CryptoKey without "sign" among its usages`);
  }
  const chosen = chooseAlgorithm(algorithmsOfCryptoKey(key, ALL_ALGORITHMS), alg);
  if (chosen === undefined) {
    const { name } = key.algorithm;
    throw new TypeError(
      `"${names.key}" is a CryptoKey for ${name}, which cannot sign ${alg ?? `any of ${ALL_ALGORITHMS.join(", ")}`}`,
    );
  }
  return { alg: chosen, kid, load: async () => key };
}

function checkedJwk(jwk: PrivateJwk, request: KeyRequest): CheckedKey {
  const { kid, names } = request;
  if (typeof jwk.kty !== "string") throw optionError(names.key, jwk, EXPECTED);
  if (typeof jwk.d !== "string")
    throw new TypeError(`"${names.key}" must be ${EXPECTED}, got a JWK without its private part "d"`);
  const alg = algorithmFor(kindOfJwk(jwk), { ...request, alg: request.alg ?? statedAlgorithm(jwk, ALL_ALGORITHMS) });
  const copy = importableJwk(jwk);
  const load = (): Promise<CryptoKey> =>
    importWith(names.key, alg, (algorithm) =>
      globalThis.crypto.subtle.importKey("jwk", copy, algorithm, false, ["sign"]),
    );
  return { alg, kid: kid ?? (typeof jwk.kid === "string" ? jwk.kid : undefined), load };
}

function checkedPem(text: string, request: KeyRequest): CheckedKey {
  const { kid, names } = request;
  const { kind, der } = pemKey(text, names.key);
  const alg = algorithmFor(kind, request);
  const load = (): Promise<CryptoKey> =>
    importWith(names.key, alg, (algorithm) =>
      globalThis.crypto.subtle.importKey("pkcs8", der, algorithm, false, ["sign"]),
    );
  return { alg, kid, load };
}

/** The algorithm for a key of this kind. @throws {TypeError} When there is none, or not the one that is asked for. */
function algorithmFor(kind: string, { alg, names }: KeyRequest): SigningAlgorithm {
  const fitting = algorithmsOfKind(kind, ALL_ALGORITHMS);
  const chosen = chooseAlgorithm(fitting, alg);
  if (chosen !== undefined) return chosen;
  if (fitting.length === 0) throw new TypeError(`"${names.key}" must be an RSA, P-256, P-384, P-521 or Ed25519 key`);
  if (names.alg === undefined) throw new TypeError(`"${names.key}" is a ${kind} key, which cannot sign ${String(alg)}`);
  throw new TypeError(`"${names.alg}" must be one of ${fitting.join(", ")} for this key (${kind}), got ${String(alg)}`);
}

/** Kinds of keys. A key of one kind cannot sign with an algorithm of another kind. */
type KeyKind = "RSA" | "P-256" | "P-384" | "P-521" | "Ed25519";

/** The name of an algorithm in WebCrypto, with the parameters of an import. */
interface AlgorithmParameters {
  readonly name: string;
  readonly hash?: string;
  readonly namedCurve?: string;
}

/** The first algorithm of a kind is the default for keys of that kind. */
const ALGORITHMS: Readonly<Record<SigningAlgorithm, AlgorithmParameters & { readonly kind: KeyKind }>> = {
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
const ALL_ALGORITHMS = Object.keys(ALGORITHMS) as readonly SigningAlgorithm[];

/** The `kty` of a JWK of each kind. */
const KEY_TYPES: Readonly<Record<string, string>> = {
  RSA: "RSA",
  "P-256": "EC",
  "P-384": "EC",
  "P-521": "EC",
  Ed25519: "OKP",
} satisfies Record<KeyKind, string>;

/** @throws {TypeError} When `alg` is not one of the supported algorithms. */
export function assertAlgorithm(name: string, alg: SigningAlgorithm, supported: readonly SigningAlgorithm[]): void {
  if (!supported.includes(alg)) throw optionError(name, alg, `one of ${supported.join(", ")}`);
}

/** Returns the supported algorithms that a key of this kind can sign with. The first one is the default. */
export function algorithmsOfKind<A extends SigningAlgorithm>(kind: string, supported: readonly A[]): A[] {
  return supported.filter((name) => ALGORITHMS[name].kind === kind);
}

/** Returns the supported algorithms that a CryptoKey was made for. They are one, or two names of one. */
export function algorithmsOfCryptoKey<A extends SigningAlgorithm>(key: CryptoKey, supported: readonly A[]): A[] {
  const { name, hash, namedCurve } = key.algorithm as { name: string; hash?: { name: string }; namedCurve?: string };
  return supported.filter((candidate) => {
    const known = ALGORITHMS[candidate];
    return known.name === name && known.hash === hash?.name && known.namedCurve === namedCurve;
  });
}

/**
 * Returns the algorithm that is asked for, or the first fitting one. `undefined` when it is not among the fitting ones.
 */
export function chooseAlgorithm<A extends SigningAlgorithm>(
  fitting: readonly A[],
  asked: A | undefined,
): A | undefined {
  const chosen = asked ?? fitting[0];
  return chosen !== undefined && fitting.includes(chosen) ? chosen : undefined;
}

/** Returns the algorithm that a JWK states, if it is a supported one. */
export function statedAlgorithm<A extends SigningAlgorithm>(jwk: PrivateJwk, supported: readonly A[]): A | undefined {
  return supported.find((name) => name === jwk.alg);
}

/** Returns the kind of key that a JWK holds. `"unknown"` when no algorithm of the table is for such a key. */
export function kindOfJwk({ kty, crv }: PrivateJwk): string {
  const kind = kty === "RSA" ? kty : String(crv);
  return KEY_TYPES[kind] === kty ? kind : "unknown";
}

/**
 * Copies what an import needs of a private JWK. A later change of the JWK does not change the copy. `use`, `key_ops`
 * and `alg` are left out, because WebCrypto refuses a key whose members name another purpose than the import.
 */
export function importableJwk({
  kty,
  crv,
  d,
  n,
  e,
  x,
  y,
  p,
  q,
  dp,
  dq,
  qi,
}: PrivateJwk): Record<string, string | undefined> {
  const members = Object.entries({ kty, crv, d, n, e, x, y, p, q, dp, dq, qi });
  return Object.fromEntries(members.filter(([, member]) => member !== undefined));
}

/**
 * Runs an import with the WebCrypto parameters of an algorithm.
 *
 * @throws {TypeError} When the import fails. The error has no cause, because the runtime's own error may quote the key.
 */
export async function importWith<Key>(
  name: string,
  alg: SigningAlgorithm,
  run: (parameters: AlgorithmParameters) => Promise<Key>,
): Promise<Key> {
  const { kind: _, ...parameters } = ALGORITHMS[alg];
  try {
    return await run(parameters);
  } catch {
    throw new TypeError(`"${name}" could not be imported as a private key for ${alg}: it is damaged, or incomplete`);
  }
}

/** What a PEM holds. */
interface PemKey {
  /** `"unknown"` when no algorithm of the table is for such a key. */
  readonly kind: string;
  readonly der: Uint8Array<ArrayBuffer>;
}

/**
 * Reads an unencrypted PKCS#8 key from a PEM. WebCrypto reads no older form; the message about an older form has the
 * command that converts it.
 *
 * @throws {TypeError} When the text is something else. The message shows no part of it.
 * @see [RFC 7468 section 10](https://www.rfc-editor.org/rfc/rfc7468.html#section-10)
 */
function pemKey(text: string, name: string): PemKey {
  for (const [label, form] of OTHER_FORMS) {
    if (!text.includes(`-----BEGIN ${label}-----`)) continue;
    throw new TypeError(
      `"${name}" must be PKCS#8 ("BEGIN PRIVATE KEY"), got "BEGIN ${label}" (${form}): ${CONVERSION}`,
    );
  }
  // Environment variables often hold line ends as the two characters \n.
  const [, body] =
    /-----BEGIN PRIVATE KEY-----([\s\S]*?)-----END PRIVATE KEY-----/.exec(text.replace(/\\n/g, "\n")) ?? [];
  const der = body === undefined ? undefined : decodedBase64(body);
  if (der === undefined) {
    throw new TypeError(
      `"${name}" must be a PEM with "-----BEGIN PRIVATE KEY-----" (PKCS#8), got a string that is not one`,
    );
  }
  const start = Array.from(der.subarray(0, 48), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const identifiers = start.replace(BEFORE_IDENTIFIER, "");
  return { kind: IDENTIFIERS.find(([identifier]) => identifiers.startsWith(identifier))?.[1] ?? "unknown", der };
}

const CONVERSION = "openssl pkcs8 -topk8 -nocrypt -in key.pem -out key.pkcs8.pem";

/** PEM labels of private keys that are not PKCS#8, or that are encrypted. */
const OTHER_FORMS: readonly (readonly [label: string, form: string])[] = [
  ["RSA PRIVATE KEY", "PKCS#1"],
  ["EC PRIVATE KEY", "SEC1"],
  ["ENCRYPTED PRIVATE KEY", "encrypted"],
];

/**
 * Object identifiers of key algorithms (RFC 5208 section 5) in hexadecimal. The curve's identifier follows where there
 * is one.
 */
const IDENTIFIERS: readonly (readonly [identifier: string, kind: KeyKind])[] = [
  ["2a864886f70d010101", "RSA"],
  ["2a8648ce3d020106082a8648ce3d030107", "P-256"],
  ["2a8648ce3d020106052b81040022", "P-384"],
  ["2a8648ce3d020106052b81040023", "P-521"],
  ["2b6570", "Ed25519"],
];

/**
 * PKCS#8 before the identifier: a sequence, version 0 or 1, a sequence, the identifier's tag. Lengths are not checked.
 */
const BEFORE_IDENTIFIER = /^30(?:82.{4}|81.{2}|[0-7].)02010[01]30.{2}06.{2}/;

/** Decodes base64 that may have white space in it. `undefined` when the text is not base64. */
function decodedBase64(base64: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Uint8Array.from(atob(base64.replace(/\s/g, "")), (character) => character.charCodeAt(0));
  } catch {
    return undefined;
  }
}
