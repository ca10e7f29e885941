/**
 * Who is signed in, and a token cache for each user. This file stands for the sessions of your application.
 * `examples/bff` has real ones, with sign-in.
 *
 * @module
 */
import { clientCredentialsGrant, createTokenCache, createTokenPool, type TokenCache } from "remint";

const { ORDERS_API = "https://orders.example/v1", TOKEN_ENDPOINT = "https://auth.example/token" } = process.env;

/** The names of the users, by the ids of their sessions. */
const users = new Map([["the-random-id-of-alices-session", "alice"]]);

const pool = createTokenPool({
  create: (user) =>
    createTokenCache({
      grant: clientCredentialsGrant({
        tokenEndpoint: TOKEN_ENDPOINT,
        clientId: "portal",
        clientSecret: "s3cret",
        parameters: { requested_subject: user },
      }),
      origins: [new URL(ORDERS_API).origin],
    }),
});

/** Returns the token cache of the user who sent a request; `undefined` when nobody is signed in. */
export function tokensOf({ headers }: Request): TokenCache | undefined {
  const [, session = ""] = /(?:^|; )__Host-session=([^;]+)/.exec(headers.get("cookie") ?? "") ?? [];
  const user = users.get(session);
  return user === undefined ? undefined : pool.get(user);
}
