/**
 * Sign-in with openid-client: the authorization code flow with PKCE.
 *
 * @module
 */
import { type Request, type Response, Router } from "express";
import * as oidc from "openid-client";
import type { SignOutOptions } from "remint";
import { settings } from "./settings.ts";
import { pool } from "./tokens.ts";

declare module "express-session" {
  interface SessionData {
    /** What the callback needs of the sign-in that is under way. */
    signingIn: { codeVerifier: string; state: string; nonce: string };
    /** What the ID token says of the user. */
    user: { name: string };
    /** The key of the user's tokens in the pool: random, and new for every sign-in. */
    signIn: string;
  }
}

/** Returns the routes `/login`, `/callback`, `/user` and `/logout`. `origin` is where browsers see this server. */
export async function createSignInRoutes(origin: string): Promise<Router> {
  const insecure = new URL(settings.issuer).protocol === "http:" ? { execute: [oidc.allowInsecureRequests] } : {};
  const server = await oidc.discovery(
    new URL(settings.issuer),
    settings.clientId,
    settings.clientSecret,
    // As remint sends the secret too. Given none of these, openid-client sends it in the body.
    oidc.ClientSecretBasic(settings.clientSecret),
    insecure,
  );
  const redirectUri = `${origin}/callback`;
  const routes = Router();

  routes.get("/login", async (request, response) => {
    const codeVerifier = oidc.randomPKCECodeVerifier();
    const state = oidc.randomState();
    const nonce = oidc.randomNonce();
    request.session.signingIn = { codeVerifier, state, nonce };
    const url = oidc.buildAuthorizationUrl(server, {
      redirect_uri: redirectUri,
      scope: "openid profile offline_access",
      code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: "S256",
      state,
      nonce,
    });
    response.redirect(url.href);
  });

  routes.get("/callback", async (request, response) => {
    const { signingIn, signIn: before } = request.session;
    if (signingIn === undefined) return response.redirect("/");
    let tokens;
    try {
      tokens = await oidc.authorizationCodeGrant(server, new URL(request.originalUrl, origin), {
        pkceCodeVerifier: signingIn.codeVerifier,
        expectedState: signingIn.state,
        expectedNonce: signingIn.nonce,
      });
    } catch (error) {
      console.warn("sign-in:", error instanceof Error ? error.message : error);
      return response.status(502).send('The sign-in did not succeed. <a href="/login">Try again</a>');
    }
    // Not revoked: many servers keep one grant for both sign-ins of a browser, and would revoke the new tokens too.
    if (before !== undefined) await endTokens(before, { revoke: false });
    await newSession(request); // another cookie, so that nobody knows it from before the sign-in
    const signIn = crypto.randomUUID();
    await pool.signIn(signIn, tokens);
    request.session.signIn = signIn;
    const claims = tokens.claims();
    request.session.user = {
      name: typeof claims?.["name"] === "string" ? claims["name"] : (claims?.sub ?? "somebody"),
    };
    return response.redirect("/");
  });

  routes.get("/user", (request, response) => void response.json(request.session.user ?? null));

  // Only a page of this origin can send the header, so no other site can sign the user out.
  routes.post("/logout", async (request, response) => {
    if (request.get("x-bff") !== "1") return response.sendStatus(403);
    const { signIn } = request.session;
    await endSession(request, response);
    if (signIn !== undefined) await endTokens(signIn);
    return response.sendStatus(204);
  });

  return routes;
}

/** The session here is over in any case. A revocation that fails is the operator's to know. */
async function endTokens(signIn: string, options?: SignOutOptions): Promise<void> {
  try {
    await pool.signOut(signIn, options);
  } catch (error) {
    console.warn("sign-out:", error);
  }
}

const newSession = (request: Request): Promise<void> =>
  new Promise((resolve, reject) => request.session.regenerate((error) => (error ? reject(error) : resolve())));

function endSession(request: Request, response: Response): Promise<void> {
  response.clearCookie("session");
  return new Promise((resolve, reject) => request.session.destroy((error) => (error ? reject(error) : resolve())));
}
