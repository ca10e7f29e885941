// The clients of `npm run peers`, each written as the README of its package says, with the rest of what it takes to send a request.
// What is measured with them is in rig.mjs. `bare` is the same client without a token of its own, for overhead.mjs.
//
// `claims` is what a package, or a recipe, says of itself: `sharing`, one token request for callers who come at once; `renewal`,
// a new token and a second request after a 401; `hosts`, that the token goes to listed hosts only; `redaction`, that what is
// printed has no secrets; `aborts`, that a caller can leave while a token is awaited. The table marks what is not claimed.
import { readFileSync } from "node:fs";
import { Readable } from "node:stream";

const usualCode = /```js\n(let token = null;\n.*?)```/s.exec(
  readFileSync(new URL("../../README.md", import.meta.url), "utf8"),
)[1];

export const PEERS = [
  {
    name: "remint, axios",
    packages: ["remint", "axios"],
    claims: ["sharing", "renewal", "hosts", "redaction", "aborts"],
    note: "The program of the README.",
    async create(servers) {
      const { createAuthInterceptor } = await import("remint/axios");
      const { default: axios } = await import("axios");
      const api = axios.create();
      api.interceptors.request.use(createAuthInterceptor(await tokenCache(servers), { axios }));
      return { send: sendByAxios(api) };
    },
    bare: bareAxios,
  },
  {
    name: "remint, fetch",
    packages: ["remint"],
    claims: ["sharing", "renewal", "hosts", "redaction", "aborts"],
    note: "`createAuthFetch(tokens)`.",
    async create(servers) {
      const { createAuthFetch } = await import("remint/fetch");
      return { send: sendByFetch(createAuthFetch(await tokenCache(servers))) };
    },
    bare: bareFetch,
  },
  {
    name: "remint, ofetch",
    packages: ["remint", "ofetch"],
    claims: ["sharing", "renewal", "hosts", "redaction", "aborts"],
    note: "`createAuthOfetch(tokens)`.",
    async create(servers) {
      const { createAuthOfetch } = await import("remint/ofetch");
      return { send: sendByOfetch(createAuthOfetch(await tokenCache(servers))) };
    },
    bare: bareOfetch,
  },
  {
    name: "axios-auth-refresh",
    packages: ["axios-auth-refresh", "axios"],
    claims: ["sharing", "renewal"],
    note: "As it comes, with the request interceptor of its README. The token request is left to the user: ours is made by another axios, and the client secret is in that one's error. It has no token before the first 401.",
    create: (servers) => axiosAuthRefresh(servers, {}),
    bare: bareAxios,
  },
  {
    name: "axios-auth-refresh, `deduplicateRefresh: false`",
    packages: ["axios-auth-refresh", "axios"],
    claims: ["renewal"],
    note: "The README's option for requests that each refresh by themselves.",
    create: (servers) => axiosAuthRefresh(servers, { deduplicateRefresh: false }),
    bare: bareAxios,
  },
  {
    name: "axios-token-interceptor, axios-oauth-client",
    packages: ["axios-token-interceptor", "axios-oauth-client", "axios"],
    claims: ["sharing"],
    note: "`tokenCache` with `getMaxAge`, as in its README. It attaches a token and does not renew it after a 401.",
    async create({ tokenEndpoint, clientId, clientSecret }) {
      const { default: tokenProvider } = await import("axios-token-interceptor");
      const { clientCredentials } = await import("axios-oauth-client");
      const getToken = clientCredentials(await newAxios(), tokenEndpoint, clientId, clientSecret);
      const cache = tokenProvider.tokenCache(() => getToken("read"), { getMaxAge: (body) => body.expires_in * 1000 });
      const api = await newAxios();
      api.interceptors.request.use(
        tokenProvider({ getToken: cache, headerFormatter: (body) => `Bearer ${body.access_token}` }),
      );
      return { send: sendByAxios(api) };
    },
    bare: bareAxios,
  },
  {
    name: "@badgateway/oauth2-client",
    packages: ["@badgateway/oauth2-client"],
    claims: ["sharing", "renewal"],
    note: "`OAuth2Fetch` with `client.clientCredentials()`.",
    async create({ tokenEndpoint, issuer, clientId, clientSecret }) {
      const { OAuth2Client, OAuth2Fetch } = await import("@badgateway/oauth2-client");
      const client = new OAuth2Client({ server: issuer, tokenEndpoint, clientId, clientSecret });
      const wrapper = new OAuth2Fetch({ client, getNewToken: () => client.clientCredentials() });
      return { send: sendByFetch((url, init) => wrapper.fetch(url, init)) };
    },
    bare: bareFetch,
  },
  {
    name: "google-auth-library, a refresh token",
    packages: ["google-auth-library"],
    claims: ["sharing", "renewal", "redaction"],
    note: "`OAuth2Client` with `forceRefreshOnFailure: true`, its option for a new token after a 401 before the old one has expired. Version 11 does not run on Node 20.",
    async create({ tokenEndpoint, clientId, clientSecret, refreshToken }) {
      const client = await googleClient({ clientId, clientSecret, endpoints: { oauth2TokenUrl: tokenEndpoint } });
      client.setCredentials({ refresh_token: refreshToken() });
      return { send: sendByGaxios(client) };
    },
    bare: bareGaxios,
  },
  {
    name: "google-auth-library, a `refreshHandler`",
    packages: ["google-auth-library"],
    claims: ["renewal", "redaction"],
    note: "The same client; the token request is ours.",
    async create(servers) {
      const client = await googleClient({});
      client.refreshHandler = async () => {
        const { access_token, expires_in } = await tokenByFetch(servers);
        return { access_token, expiry_date: Date.now() + expires_in * 1000 };
      };
      return { send: sendByGaxios(client) };
    },
    bare: bareGaxios,
  },
  {
    name: "simple-oauth2, the usual interceptor",
    packages: ["simple-oauth2", "axios"],
    claims: ["renewal"],
    note: "It obtains tokens, and claims nothing about requests: what is measured is the interceptor of the README around it.",
    async create({ issuer, tokenEndpoint, clientId, clientSecret }) {
      const { ClientCredentials } = await import("simple-oauth2");
      const auth = { tokenHost: issuer, tokenPath: new URL(tokenEndpoint).pathname };
      const client = new ClientCredentials({ client: { id: clientId, secret: clientSecret }, auth });
      return usual(async () => (await client.getToken({})).token.access_token);
    },
    bare: bareAxios,
  },
  {
    name: "openid-client, the usual interceptor",
    packages: ["openid-client", "axios"],
    claims: ["renewal"],
    note: "As simple-oauth2.",
    async create({ issuer, tokenEndpoint, clientId, clientSecret }) {
      const openid = await import("openid-client");
      const metadata = { issuer, token_endpoint: tokenEndpoint };
      const config = new openid.Configuration(metadata, clientId, undefined, openid.ClientSecretPost(clientSecret));
      openid.allowInsecureRequests(config);
      return usual(async () => (await openid.clientCredentialsGrant(config)).access_token);
    },
    bare: bareAxios,
  },
  {
    name: "ky, the hook of its README",
    packages: ["ky"],
    claims: ["renewal"],
    note: "A recipe: `afterResponse` with `ky.retry`, and `beforeRequest` with a variable for the token.",
    async create(servers) {
      const { default: ky } = await import("ky");
      let token;
      const api = ky.extend({
        hooks: {
          beforeRequest: [
            async (request, _, { retryCount }) => {
              if (retryCount > 0) return;
              token ??= (await tokenByFetch(servers)).access_token;
              request.headers.set("Authorization", `Bearer ${token}`);
            },
          ],
          afterResponse: [
            async (request, _, response, { retryCount }) => {
              if (response.status !== 401 || retryCount > 0) return undefined;
              token = (await tokenByFetch(servers)).access_token;
              const headers = new Headers(request.headers);
              headers.set("Authorization", `Bearer ${token}`);
              return ky.retry({ request: new Request(request, { headers }), code: "TOKEN_REFRESHED" });
            },
          ],
        },
      });
      return { send: sendByFetch(api) };
    },
    async bare() {
      const { default: ky } = await import("ky");
      return sendByFetch(ky);
    },
  },
  {
    name: "ofetch, the usual hooks",
    packages: ["ofetch"],
    claims: ["renewal"],
    note: "A recipe: `onRequest`, `onResponseError`, `retry: 1` and `retryStatusCodes: [401]`.",
    async create(servers) {
      const { ofetch } = await import("ofetch");
      let token;
      const api = ofetch.create({
        retry: 1,
        retryStatusCodes: [401],
        async onRequest({ options }) {
          token ??= (await tokenByFetch(servers)).access_token;
          options.headers.set("Authorization", `Bearer ${token}`);
        },
        async onResponseError({ response }) {
          if (response.status === 401) token = (await tokenByFetch(servers)).access_token;
        },
      });
      return { send: sendByOfetch(api) };
    },
    bare: bareOfetch,
  },
  {
    name: "the usual interceptor",
    packages: ["axios"],
    claims: ["renewal"],
    note: "A recipe: the code of the README, with a token request by axios, whose error has the client secret.",
    create: (servers) => usual(async () => (await tokenByAxios(servers)).access_token),
    bare: bareAxios,
  },
];

async function tokenCache({ tokenEndpoint, clientId, clientSecret, origin }) {
  const { clientCredentialsGrant, createTokenCache } = await import("remint");
  const grant = clientCredentialsGrant({ tokenEndpoint, clientId, clientSecret });
  return createTokenCache({ grant, origins: [origin], warnings: false });
}

async function axiosAuthRefresh(servers, options) {
  const { createAuthRefresh } = await import("axios-auth-refresh");
  const api = await newAxios();
  let token = null;
  const getAccessToken = () => token;
  api.interceptors.request.use((request) => {
    request.headers["Authorization"] = `Bearer ${getAccessToken()}`;
    return request;
  });
  const refreshAuthLogic = async (failedRequest) => {
    const data = await tokenByAxios(servers, { skipAuthRefresh: true });
    token = data.access_token;
    failedRequest.response.config.headers["Authorization"] = `Bearer ${token}`;
  };
  createAuthRefresh(api, refreshAuthLogic, options);
  return { send: sendByAxios(api) };
}

async function googleClient(options) {
  const { OAuth2Client } = await import("google-auth-library");
  return new OAuth2Client({ ...options, forceRefreshOnFailure: true });
}

/** The interceptor that the README shows, around a token request. */
async function usual(requestToken) {
  const module = `export function use(axios, requestToken) {\n${usualCode}}\n`;
  const { use } = await import(`data:text/javascript,${encodeURIComponent(module)}`);
  const api = await newAxios();
  use(api, requestToken);
  return { send: sendByAxios(api) };
}

async function newAxios() {
  const { default: axios } = await import("axios");
  return axios.create();
}

/** The token request that people write with axios. */
async function tokenByAxios({ tokenEndpoint, clientId, clientSecret }, config = {}) {
  const { default: axios } = await import("axios");
  const form = new URLSearchParams({ grant_type: "client_credentials" });
  const { data } = await axios.post(tokenEndpoint, form, {
    auth: { username: clientId, password: clientSecret },
    ...config,
  });
  return data;
}

/** The token request that people write with fetch. */
async function tokenByFetch({ tokenEndpoint, clientId, clientSecret }) {
  const response = await fetch(tokenEndpoint, {
    method: "POST",
    headers: { authorization: `Basic ${btoa(`${clientId}:${clientSecret}`)}` },
    body: new URLSearchParams({ grant_type: "client_credentials" }),
  });
  if (!response.ok) throw new Error(`The token endpoint answered ${response.status}`);
  return await response.json();
}

function sendByAxios(api) {
  return async (url, { method = "GET", type, body, signal, authorization } = {}) => {
    const headers = sentHeaders(type, authorization);
    const config = { url, method, headers };
    if (body !== undefined) config.data = body;
    if (signal !== undefined) config.signal = signal;
    return (await api.request(config)).status;
  };
}

function sendByFetch(call) {
  return async (url, request = {}) => {
    const response = await call(url, fetchInit(request));
    await response.arrayBuffer();
    return response.status;
  };
}

function sendByOfetch(call) {
  return async (url, request = {}) => (await call.raw(url, fetchInit(request))).status;
}

function sendByGaxios(client) {
  return async (url, { method = "GET", type, body, signal, authorization } = {}) => {
    const headers = sentHeaders(type, authorization);
    const options = { url, method, headers };
    if (body !== undefined) options.data = body;
    if (signal !== undefined) options.signal = signal;
    return (await client.request(options)).status;
  };
}

function fetchInit({ method = "GET", type, body, signal, authorization }) {
  const init = { method, headers: sentHeaders(type, authorization) };
  if (signal !== undefined) init.signal = signal;
  if (body instanceof Readable) Object.assign(init, { body: Readable.toWeb(body), duplex: "half" });
  else if (body instanceof Uint8Array) init.body = body;
  else if (body !== undefined) init.body = JSON.stringify(body);
  return init;
}

function sentHeaders(type, authorization) {
  return {
    ...(type === undefined ? {} : { "Content-Type": type }),
    ...(authorization === undefined ? {} : { Authorization: authorization }),
  };
}

async function bareAxios() {
  return sendByAxios(await newAxios());
}

async function bareFetch() {
  return sendByFetch(fetch);
}

async function bareOfetch() {
  const { ofetch } = await import("ofetch");
  return sendByOfetch(ofetch);
}

async function bareGaxios() {
  const { gaxios } = await import("google-auth-library");
  return sendByGaxios(new gaxios.Gaxios());
}
