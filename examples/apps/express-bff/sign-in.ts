/**
 * Sign-in with openid-client: the authorization code flow with PKCE.
 *
 * @module
 */
import { type Request, type Response, Router } from "express";
import * as oidc from "openid-client";
import { pool } from "./tokens.ts";
import { settings } from "./settings.ts";

declare module "express-session" {
  interface SessionData {
    /** What the callback needs of the sign-in that is under way. */
    signingIn: { codeVerifier: string; state: string };
    /** The key of the user's tokens in the pool: random, and new for every sign-in. */
    signIn: string;
  }
}

/** Returns the routes `/login`, `/callback` and `/logout`. `origin` is where browsers see this server. */
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
    request.session.signingIn = { codeVerifier, state };
    const url = oidc.buildAuthorizationUrl(server, {
      redirect_uri: redirectUri,
      scope: "openid offline_access",
      code_challenge: await oidc.calculatePKCECodeChallenge(codeVerifier),
      code_challenge_method: "S256",
      state,
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
      });
    } catch (error) {
      console.warn("sign-in:", error instanceof Error ? error.message : error);
      return response.status(502).send('The sign-in did not succeed. <a href="/login">Try again</a>');
    }
    if (before !== undefined) await endTokens(before);
    await newSession(request); // another cookie, so that nobody knows it from before the sign-in
    const signIn = crypto.randomUUID();
    await pool.signIn(signIn, tokens);
    request.session.signIn = signIn;
    return response.redirect("/");
  });

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
async function endTokens(signIn: string): Promise<void> {
  try {
    await pool.signOut(signIn);
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
