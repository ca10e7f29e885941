/**
 * The sign-out: the user's own (`/bff/logout`), and that of the authorization server (`/bff/backchannel`).
 *
 * @module
 */
import { createRemoteJWKSet, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from "jose";
import * as oidc from "openid-client";
import { CLOCK_TOLERANCE, type Client } from "./client.ts";
import type { Cookies } from "./cookies.ts";
import type { Sessions } from "./sessions.ts";
import type { Settings } from "./settings.ts";

const LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout";
const LARGEST_BODY = 65_536;
/** Seconds after its issue for which a logout token is taken, and for which its `jti` is remembered. */
const LOGOUT_TOKEN_AGE = 600;

/** An ID token of many groups does not fit into a URL. Without it, the authorization server asks the user once more. */
const LONGEST_HINT = 4000;

/** The two routes of the sign-out. */
export class SignOuts {
  readonly #settings: Settings;
  readonly #cookies: Cookies;
  readonly #sessions: Sessions;
  readonly #client: () => Promise<Client>;
  #keys: { readonly uri: string; readonly get: JWTVerifyGetKey } | undefined;

  constructor(settings: Settings, cookies: Cookies, sessions: Sessions, client: () => Promise<Client>) {
    this.#settings = settings;
    this.#cookies = cookies;
    this.#sessions = sessions;
    this.#client = client;
  }

  /** `POST /bff/logout`: ends the session here, then at the authorization server. */
  async byUser(request: Request): Promise<Response> {
    const key = this.#sessions.keyOf(request);
    const session = await this.#sessions.find(request, { slides: false });
    if (session !== undefined) await this.#sessions.end(session.key);
    const response = new Response(null, { status: 303 });
    // Where the session has expired here, the user may still be signed in there.
    const location = key === undefined ? undefined : await this.#endSessionUrl(session?.idToken);
    response.headers.set("location", location ?? `${this.#settings.origin}/`);
    response.headers.append("set-cookie", this.#cookies.remove(this.#cookies.session));
    return response;
  }

  /**
   * `POST /bff/backchannel`: the authorization server says that a session is over.
   *
   * @see [OpenID Connect Back-Channel Logout 1.0 section 2.6](https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation)
   */
  async byServer(request: Request): Promise<Response> {
    const token = new URLSearchParams(await shortBody(request)).get("logout_token");
    let claims: JWTPayload | undefined;
    try {
      claims = token === null ? undefined : await this.#verified(token);
    } catch {
      claims = undefined;
    }
    if (claims === undefined) return Response.json({ error: "invalid_request" }, { status: 400 });
    const { sid, sub } = claims as { readonly sid?: string; readonly sub?: string };
    const keys = await this.#sessions.of({ sid, sub });
    // The server waits for the answer, and not for long.
    await Promise.all(keys.map((key) => this.#sessions.end(key, { within: 0 })));
    return new Response(null, { status: 200 });
  }

  /** Resolves to the claims of a logout token, or to `undefined` when it is none. */
  async #verified(token: string): Promise<JWTPayload | undefined> {
    const server = (await this.#client()).config.serverMetadata();
    const { issuer, jwks_uri: uri = "", id_token_signing_alg_values_supported: algorithms = ["RS256"] } = server;
    if (this.#keys?.uri !== uri) this.#keys = { uri, get: createRemoteJWKSet(new URL(uri)) };
    const { payload, protectedHeader } = await jwtVerify(token, this.#keys.get, {
      issuer,
      audience: this.#settings.clientId,
      algorithms: algorithms.filter((name) => /^(RS|PS|ES|Ed)/.test(name)),
      clockTolerance: CLOCK_TOLERANCE,
      maxTokenAge: LOGOUT_TOKEN_AGE,
      requiredClaims: ["iat", "exp", "jti", "events"],
    });
    const { events, jti, sid, sub, nonce } = payload as JWTPayload & {
      readonly events?: unknown;
      readonly sid?: unknown;
    };
    const event = (Object(events) as Record<string, unknown>)[LOGOUT_EVENT];
    const names = [sid, sub].filter((name) => name !== undefined);
    const isLogout =
      /^(?:application\/)?(?:logout\+)?jwt$/i.test(protectedHeader.typ ?? "jwt") &&
      typeof event === "object" &&
      event !== null &&
      nonce === undefined &&
      names.length > 0 &&
      names.every((name) => typeof name === "string" && name !== "") &&
      typeof jti === "string" &&
      jti.length <= 256;
    if (!isLogout) return undefined;
    const isFirst = await this.#settings.store.add(`jti:${jti}`, "1", LOGOUT_TOKEN_AGE * 1000);
    return isFirst ? payload : undefined;
  }

  /** Where the session at the authorization server is ended; `undefined` when it has no such page, or does not answer. */
  async #endSessionUrl(idToken: string | undefined): Promise<string | undefined> {
    const back = { post_logout_redirect_uri: `${this.#settings.origin}/` };
    try {
      const { config } = await this.#client();
      if (config.serverMetadata().end_session_endpoint === undefined) return undefined;
      const isShort = idToken !== undefined && idToken.length <= LONGEST_HINT;
      return oidc.buildEndSessionUrl(config, { ...back, ...(isShort && { id_token_hint: idToken }) }).href;
    } catch {
      return undefined;
    }
  }
}

/** Reads a body that must not be longer than 64 KiB. A longer one is no logout token. */
async function shortBody(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of (request.body ?? []) as AsyncIterable<Uint8Array>) {
    size += chunk.byteLength;
    if (size > LARGEST_BODY) return "";
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
