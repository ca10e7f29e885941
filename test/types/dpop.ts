// The types of `remint/dpop`: keys, the `dpop` option of the grants, and a custom grant.
import { clientCredentialsGrant, customGrant } from "remint";
import { dpop } from "remint/dpop";
import type { Grant } from "remint";
import type { DpopKey, DpopKeyPair, Proof, ProofKey, Prove } from "remint/dpop";
import { same } from "./expect.ts";

declare const keyPair: DpopKeyPair;
const endpoint = { tokenEndpoint: "https://auth.example/token", clientId: "a", clientSecret: "b" };

const key = dpop();
same<typeof key, DpopKey>(true);
same<typeof key.thumbprint, string | undefined>(true);
const asKey: ProofKey = dpop({ keyPair, allowBearer: true });
const bound = clientCredentialsGrant({
  ...endpoint,
  dpop: dpop({ privateKey: { kty: "EC", crv: "P-256", x: "", y: "", d: "" } }),
});
same<typeof bound, Grant>(true);
clientCredentialsGrant({ ...endpoint, dpop: undefined });
customGrant({ mint: () => ({ access_token: "a", token_type: "DPoP" }), prove: asKey.prove });

// A custom proof.
const prove: Prove = async ({ method, url, token }): Promise<Proof> => ({
  headers: { "x-signature": `${method} ${url} ${token?.scheme ?? ""}` },
});
customGrant({ mint: () => "a", prove });

// @ts-expect-error an algorithm that is not supported for proofs
dpop({ algorithm: "HS256" });
// @ts-expect-error a string is no key
clientCredentialsGrant({ ...endpoint, dpop: "key" });
