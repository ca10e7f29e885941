/** A scripted Salesforce org: its login server and its API. What the tests of cirrus-auth start from. */
import { type Api, type AuthServer, startApi, startAuthServer } from "remint/testing";
import type { SalesforceSecretOptions } from "remint/salesforce";

/** The refresh token that the originals begin with. */
export const REFRESH_TOKEN = "5Aep861KIwKdekr...refresh";

export interface Org {
  readonly login: AuthServer;
  readonly api: Api;
  /** The options that every grant for this org needs. */
  readonly options: SalesforceSecretOptions;
  /** The same for an app without a secret. */
  readonly open: Omit<SalesforceSecretOptions, "clientSecret">;
  /** A token response of this org. */
  readonly response: (more?: object) => object;
  /** Answers every token request from now on, with tokens that are counted: `00DXX!ACCESS1`, and so on. */
  readonly answer: (more?: object) => void;
  readonly close: () => Promise<unknown>;
}

/** Starts an org that answers token requests as Salesforce documents it. */
export async function startOrg(): Promise<Org> {
  const login = await startAuthServer();
  const api = await startApi({ accepts: login });
  const open = { loginUrl: login.origin, instanceUrl: api.origin, clientId: "consumer-key-123" };
  const response = (more: object = {}): object => ({
    access_token: "00DXX!ACCESS",
    instance_url: api.origin,
    token_type: "Bearer",
    id: "https://login.salesforce.com/id/00DXX/005XX",
    issued_at: "1278448384422",
    signature: "2wG3D9w1PzUlP/BEwa0u3D2C=",
    ...more,
  });
  const answer = (more: object = {}): void => {
    let count = 0;
    // Without a `Date`, so that the test's clock is the only one.
    login.respondAlways(() => ({
      headers: { date: undefined },
      body: response({ access_token: `00DXX!ACCESS${++count}`, ...more }),
    }));
  };
  answer();
  const close = (): Promise<unknown> => Promise.all([login.close(), api.close()]);
  return { login, api, options: { ...open, clientSecret: "top-secret" }, open, response, answer, close };
}
