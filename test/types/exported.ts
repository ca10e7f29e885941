// What a library or a project with `declaration` exports: each result has a type that its declarations can name.
import axios from "axios";
import { createTokenCache, createTokenPool, customGrant, findRemintError } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { dpop } from "remint/dpop";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { damagedAnswer, fakeGrant, fakeSessions, manualClock, startApi, startAuthServer } from "remint/testing";
import { createAuthInterceptor as createUndiciInterceptor } from "remint/undici";

export const grant = customGrant({ mint: () => "a" });
export const tokens = createTokenCache({ grant, origins: ["https://api.example"] });
export const pool = createTokenPool({ create: () => tokens });
export const authFetch = createAuthFetch(tokens);
export const authOfetch = createAuthOfetch(tokens);
export const authInterceptor = createAuthInterceptor(tokens);
export const undiciInterceptor = createUndiciInterceptor(tokens);
export const key = dpop();
export const kit = {
  answer: damagedAnswer("status 201"),
  clock: manualClock(),
  grant: fakeGrant(),
  table: fakeSessions(),
};
export const factOf = (error: unknown) => ({ found: findRemintError(error), code: findRemintError(error)?.code });

export class Client {
  readonly http = axios.create();
  readonly fetch = createAuthFetch(() => tokens);
  readonly interceptor = createAuthInterceptor(tokens);

  constructor() {
    this.http.interceptors.request.use(this.interceptor);
  }

  async token() {
    return { token: await tokens.get(), state: await pool.describe("key") };
  }
}

export async function servers() {
  const auth = await startAuthServer();
  const api = await startApi({ accepts: auth });
  return { auth, api, request: api.requests[0], log: auth.log[0], info: auth.tokenInfo("a"), signIn: auth.signIn() };
}
