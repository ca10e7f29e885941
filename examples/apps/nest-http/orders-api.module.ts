/**
 * The HttpService of the orders API, with a token.
 *
 * @module
 */
import assert from "node:assert/strict";
import { HttpModule, HttpService } from "@nestjs/axios";
import { Inject, Module, type OnApplicationShutdown } from "@nestjs/common";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, API_URL } = process.env;
assert(ISSUER, "Set ISSUER, such as https://auth.example");
assert(CLIENT_ID, "Set CLIENT_ID, the id of this program at the authorization server");
assert(CLIENT_SECRET, "Set CLIENT_SECRET, the secret of that client");
assert(API_URL, "Set API_URL, such as https://api.example/v1");

const tokens = createTokenCache({
  grant: clientCredentialsGrant({ issuer: ISSUER, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
  origins: [new URL(API_URL).origin],
});

// `register`, because the HttpService of HttpModule alone is the `axios` export, which the whole process shares.
@Module({ imports: [HttpModule.register({ baseURL: API_URL, timeout: 15_000 })], exports: [HttpModule] })
export class OrdersApiModule implements OnApplicationShutdown {
  constructor(@Inject(HttpService) http: HttpService) {
    http.axiosRef.interceptors.request.use(createAuthInterceptor(tokens));
  }

  async onApplicationShutdown(): Promise<void> {
    await tokens.close();
  }
}
