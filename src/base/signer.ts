/**
 * A key that never leaves where it is kept, such as a KMS or an HSM: a function that signs, and the JWTs that are made with
 * it.
 *
 * Not here: keys that this process holds (`keys.ts`).
 *
 * @module
 */
import { toBase64url, utf8 } from "./bytes.ts";
import { assertString, optionError, requireFunction } from "./options.ts";
import { callUserFunction } from "./user-function.ts";

/**
 * A signature algorithm that a server may ask for. `EdDSA` and `Ed25519` are the old and the new name of one algorithm.
 */
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

/** Bytes that WebCrypto takes. Said in this way, because `Uint8Array` is generic since TypeScript 5.7 only. */
type Bytes = ReturnType<InstanceType<typeof TextEncoder>["encode"]>;

/**
 * A private key of which only its signatures leave where it is kept, such as a KMS or an HSM.
 *
 * @see [RFC 7515 section 5.1](https://www.rfc-editor.org/rfc/rfc7515.html#section-5.1)
 */
export interface Signer {
  /** The signature algorithm of the key. */
  readonly alg: SigningAlgorithm;
  /** The key's identifier, by which the server finds the public key. */
  readonly kid?: string | undefined;
  /**
   * Signs bytes and returns the signature. A signature by `ES256`, `ES384` or `ES512` is r and s, one behind the other, and
   * not the DER of both that some services return.
   */
  readonly sign: (bytes: Bytes) => Uint8Array | ArrayBuffer | PromiseLike<Uint8Array | ArrayBuffer>;
}

/** In bytes: r and s. */
const SIGNATURE_LENGTHS: Readonly<Record<string, number>> = { ES256: 64, ES384: 96, ES512: 132 };

/** Whether a value is a {@link Signer}. Its members are checked by {@link assertSigner}. */
export function isSigner(value: unknown): value is Signer {
  return typeof value === "object" && value !== null && "sign" in value && "alg" in value;
}

/** @throws {TypeError} When a member is wrong. */
export function assertSigner(name: string, { sign, kid }: Signer): void {
  requireFunction(`${name}.sign`, sign);
  if (kid !== undefined) assertString(`${name}.kid`, kid);
}

/**
 * Makes a JWT with a signer.
 *
 * @param name The option that the signer was given as.
 * @throws {RemintError} `ERR_GRANT` when the function `sign` fails, or returns no signature of its algorithm.
 */
export async function jwtBySigner(
  name: string,
  signer: Pick<Signer, "alg" | "sign">,
  { header, claims }: { readonly header: object; readonly claims: object },
  signal?: AbortSignal,
): Promise<string> {
  const input = [header, claims].map((part) => toBase64url(utf8(JSON.stringify(part)))).join(".");
  const signature = await callUserFunction(`${name}.sign`, signal, async () => {
    const made: unknown = await signer.sign(utf8(input));
    const bytes = made instanceof Uint8Array ? made : isBuffer(made) ? new Uint8Array(made) : new Uint8Array();
    const length = SIGNATURE_LENGTHS[signer.alg] ?? bytes.length;
    if (bytes.length > 0 && bytes.length === length) return bytes;
    const raw = length > 0 ? ` of ${length} bytes (r and s, not DER)` : "";
    throw optionError(`${name}.sign`, made, `a function that returns a signature${raw} as a Uint8Array`);
  });
  return `${input}.${toBase64url(signature)}`;
}

function isBuffer(value: unknown): value is ArrayBuffer {
  return Object.prototype.toString.call(value) === "[object ArrayBuffer]";
}
