import { modifyAssertion, PrivateKeyJwt, type JsonValue } from "oauth4webapi";
import type { ImportedKey } from "../base/keys.ts";

/**
 * A JWT of these claims; `jti`, `iat`, `nbf` and `exp` (60 s) are new in every one, unless the claims say otherwise.
 * A claim that is `undefined` is left out.
 */
export async function signedJwt(
  { key, alg, kid }: ImportedKey,
  claims: Readonly<Record<string, JsonValue | undefined>>,
): Promise<string> {
  const body = new URLSearchParams();
  const sign = PrivateKeyJwt(kid === undefined ? { key } : { key, kid }, {
    [modifyAssertion](header, payload) {
      header["alg"] = alg; // for Ed25519 keys, oauth4webapi writes the name that few servers know yet
      Object.assign(payload, claims);
    },
  });
  // A client assertion is the one JWT oauth4webapi signs; what makes it one, the claims replace.
  await sign({ issuer: "" }, { client_id: "" }, body, new Headers());
  return body.get("client_assertion") ?? "";
}
