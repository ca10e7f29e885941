// A CommonJS user under `"module": "nodenext"`: `require` of this ESM package, and axios' other set of types.
import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { withToken } from "remint/policy";
import { fakeGrant } from "remint/testing";

const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
const value: Promise<string> = tokens.get().then((token) => token.value);
const instance = axios.create({ remint: { retry: false } });
instance.interceptors.request.use(createAuthInterceptor(tokens, { axios }));
void instance.get("/a", { remint: false });
void instance.get("/a", { remint: tokens });
// @ts-expect-error `true` has no meaning here
void instance.get("/a", { remint: true });
// @ts-expect-error not one of the keys
void instance.get("/a", { remint: { retries: 3 } });

export = { value, clients: [createAuthFetch(tokens), createAuthOfetch(tokens)], withToken };
