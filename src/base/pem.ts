/**
 * PKCS#8 private keys as PEM. Older forms are refused with the command that converts them: WebCrypto reads no other.
 *
 * @see [RFC 7468 section 10](https://www.rfc-editor.org/rfc/rfc7468.html#section-10)
 * @module
 */

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
