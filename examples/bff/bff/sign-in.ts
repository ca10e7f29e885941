/**
 * The sign-in: `/bff/login` sends the browser to the authorization server, `/bff/callback` takes it back.
 *
 * Every sign-in has a `state`, a `nonce` and a PKCE verifier of its own, in an encrypted cookie of its own. So sign-ins in
 * several tabs do not disturb each other, and nothing is kept on the server for those that are given up.
 *
 * @module
 */
import * as oidc from "openid-client";
import { CLOCK_TOLERANCE, type Client } from "./client.ts";
import type { Cookies } from "./cookies.ts";
import { type Page, pageResponse } from "./pages.ts";
import { createSeal, type Seal } from "./seal.ts";
import type { Claims, Sessions } from "./sessions.ts";
import type { Settings } from "./settings.ts";

/** What a sign-in cookie holds. */
interface SignIn {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly returnTo: string;
  /** The session that the browser had. It cannot be read at the callback: a `Strict` cookie does not come with it. */
  readonly before: string | undefined;
  readonly acr: string | undefined;
  readonly maxAge: number | undefined;
  /** When it began: epoch milliseconds. */
  readonly at: number;
}

/** Seconds for which a sign-in may take. */
const SIGN_IN_AGE = 600;
/** How many sign-ins a browser may have in progress. The oldest is given up. */
const MOST_SIGN_INS = 4;
const LONGEST_RETURN = 300;
const AGAIN = { label: "Sign in", href: "/bff/login" };

/** The two routes of the sign-in. */
export class SignIns {
  readonly #settings: Settings;
  readonly #cookies: Cookies;
  readonly #sessions: Sessions;
  readonly #client: () => Promise<Client>;
  readonly #seal: Seal;

  constructor(settings: Settings, cookies: Cookies, sessions: Sessions, client: () => Promise<Client>) {
    this.#settings = settings;
    this.#cookies = cookies;
    this.#sessions = sessions;
    this.#client = client;
    this.#seal = createSeal(settings.secret, "sign-in");
  }

  /** `GET /bff/login?returnTo&prompt&acr_values&max_age` */
  async begin(request: Request): Promise<Response> {
    if (!isNavigation(request)) return new Response(null, { status: 204 });
    const asked = new URL(request.url).searchParams;
    const returnTo = localPath(asked.get("returnTo"));
    const prompt = oneOf(asked.get("prompt"), ["none", "login", "consent", "select_account"]);
    const acr = /^[\w:./ -]{1,100}$/.exec(asked.get("acr_values") ?? "")?.[0];
    const maxAge = /^\d{1,8}$/.test(asked.get("max_age") ?? "") ? Number(asked.get("max_age")) : undefined;

    const session = await this.#sessions.find(request, { slides: true });
    const isDone = session !== undefined && prompt === undefined && acr === undefined && maxAge === undefined;
    if (isDone) return this.#redirect(returnTo);

    const [state, nonce, verifier] = [oidc.randomState(), oidc.randomNonce(), oidc.randomPKCECodeVerifier()];
    const before = session?.key;
    const signIn: SignIn = { state, nonce, verifier, returnTo, before, acr, maxAge, at: Date.now() };
    const parameters = new URLSearchParams({
      redirect_uri: this.#redirectUri,
      scope: this.#settings.scope,
      state,
      nonce,
      code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
      code_challenge_method: "S256",
      ...(prompt !== undefined && { prompt }),
      ...(acr !== undefined && { acr_values: acr }),
      ...(maxAge !== undefined && { max_age: String(maxAge) }),
    });
    for (const resource of this.#settings.resources) parameters.append("resource", resource);

    let url: URL;
    try {
      url = await authorizationUrl(await this.#client(), parameters);
    } catch {
      return pageResponse(SERVER_AWAY);
    }
    const response = redirect(url);
    for (const name of await this.#givenUp(request)) response.headers.append("set-cookie", this.#cookies.remove(name));
    const cookie = this.#cookies.set(this.#cookies.signIn(state), await this.#seal.seal(signIn), {
      sameSite: "Lax",
      maxAge: SIGN_IN_AGE,
    });
    response.headers.append("set-cookie", cookie);
    return response;
  }

  /** `GET /bff/callback` */
  async finish(request: Request): Promise<Response> {
    const { search, searchParams } = new URL(request.url);
    const name = this.#cookies.signIn(searchParams.get("state") ?? "");
    const signIn = await this.#open(this.#cookies.get(request, name));
    if (signIn === undefined) {
      // The back button, a bookmark, or a callback that another tab has finished.
      const session = await this.#sessions.find(request, { slides: true });
      return session === undefined ? pageResponse(unknownSignIn(request)) : this.#redirect("/");
    }
    const response = await this.#exchange(signIn, search);
    response.headers.append("set-cookie", this.#cookies.remove(name));
    return response;
  }

  async #exchange(signIn: SignIn, search: string): Promise<Response> {
    const { state, nonce, verifier, maxAge, returnTo } = signIn;
    let tokens: Awaited<ReturnType<typeof oidc.authorizationCodeGrant>>;
    try {
      const { config, dpop } = await this.#client();
      const checks = { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier };
      tokens = await oidc.authorizationCodeGrant(
        config,
        new URL(this.#redirectUri + search),
        { ...checks, ...(maxAge !== undefined && { maxAge }) },
        { resource: this.#settings.resources[0] },
        dpop && { DPoP: dpop },
      );
    } catch (error) {
      return this.#failed(error, returnTo);
    }
    const claims = tokens.claims() as Claims;
    if (Math.abs(Date.now() / 1000 - Number(claims["iat"])) > 2 * CLOCK_TOLERANCE) return pageResponse(CLOCKS_DIFFER);
    if (signIn.acr !== undefined && !signIn.acr.split(" ").includes(String(claims["acr"]))) {
      return pageResponse(NOT_STRONG_ENOUGH);
    }
    const { id, key } = await this.#sessions.begin(tokens, claims, tokens.id_token);
    await this.#endOthers(key, signIn.before, claims);
    const response = this.#redirect(returnTo);
    response.headers.append("set-cookie", this.#cookies.set(this.#cookies.session, id, { sameSite: "Strict" }));
    return response;
  }

  /**
   * Ends the session that the browser had before, and those of sign-ins in other tabs. Those of the same session at the
   * authorization server are not revoked: servers keep one grant for all of them, and the new tokens would die too.
   */
  async #endOthers(own: string, before: string | undefined, { sid, sub }: Claims): Promise<void> {
    const related = typeof sid === "string" ? await this.#sessions.of({ sid, sub }) : [];
    for (const key of new Set(before === undefined ? related : [...related, before])) {
      if (key !== own) await this.#sessions.end(key, { revoke: !related.includes(key) });
    }
  }

  /** The answer when the authorization server refused, or its answer is not what was asked for. */
  #failed(error: unknown, returnTo: string): Response {
    if (error instanceof oidc.AuthorizationResponseError) {
      const { error: code } = error;
      if (code === "access_denied") return this.#redirect("/?signin=denied");
      // A silent sign-in (`prompt=none`) has found nobody.
      if (/^(login|interaction|consent|account_selection)_required$/.test(code)) return this.#redirect(returnTo);
      return pageResponse(/^(server_error|temporarily_unavailable)$/.test(code) ? SERVER_AWAY : NOT_FINISHED);
    }
    if (error instanceof oidc.ResponseBodyError) return pageResponse(error.status >= 500 ? SERVER_AWAY : NOT_FINISHED);
    const { code } = error as { readonly code?: unknown };
    if (code === "OAUTH_TIMEOUT" || code === "OAUTH_RESPONSE_IS_NOT_CONFORM" || error instanceof TypeError) {
      return pageResponse(SERVER_AWAY);
    }
    return pageResponse(code === "OAUTH_JWT_TIMESTAMP_CHECK_FAILED" ? CLOCKS_DIFFER : NOT_FINISHED);
  }

  get #redirectUri(): string {
    return `${this.#settings.origin}/bff/callback`;
  }

  /** Redirects to a path of our own. */
  #redirect(path: string): Response {
    return redirect(new URL(path, this.#settings.origin));
  }

  async #open(sealed: string | undefined): Promise<SignIn | undefined> {
    const signIn = sealed === undefined ? undefined : ((await this.#seal.open(sealed)) as SignIn | undefined);
    return signIn !== undefined && Date.now() - signIn.at < SIGN_IN_AGE * 1000 ? signIn : undefined;
  }

  /** The cookies of sign-ins that have to go, so that there are not too many: those that are over, and the oldest. */
  async #givenUp(request: Request): Promise<string[]> {
    const cookies = this.#cookies.signIns(request);
    const begun = await Promise.all(
      cookies.map(async ([name, value]) => ({ name, at: (await this.#open(value))?.at ?? 0 })),
    );
    const newest = begun.toSorted((a, b) => b.at - a.at);
    return newest.filter(({ at }, index) => at === 0 || index >= MOST_SIGN_INS - 1).map(({ name }) => name);
  }
}

/** Pushes the parameters to the server where it takes them (PAR, RFC 9126): the browser then does not see them. */
function authorizationUrl({ config, dpop }: Client, parameters: URLSearchParams): Promise<URL> | URL {
  if (config.serverMetadata().pushed_authorization_request_endpoint === undefined) {
    return oidc.buildAuthorizationUrl(config, parameters);
  }
  return oidc.buildAuthorizationUrlWithPAR(config, parameters, dpop && { DPoP: dpop });
}

function redirect(url: URL): Response {
  return new Response(null, { status: 303, headers: { location: url.href } });
}

/** A prefetch, a fetch, an image or a frame begins no sign-in. */
function isNavigation({ headers }: Request): boolean {
  if (/prefetch|prerender/.test(headers.get("sec-purpose") ?? headers.get("purpose") ?? "")) return false;
  return (
    (headers.get("sec-fetch-mode") ?? "navigate") === "navigate" &&
    (headers.get("sec-fetch-dest") ?? "document") === "document"
  );
}

/**
 * Returns the path to go to after the sign-in. The URL parser decides what a path means, as the browser will: `/\host`, `//host`
 * and `/<tab>/host` are other hosts.
 */
export function localPath(text: string | null): string {
  if (text === null || text.length > LONGEST_RETURN || !text.startsWith("/")) return "/";
  const own = "https://own.invalid";
  const url = URL.canParse(text, own) ? new URL(text, own) : undefined;
  if (url === undefined || url.origin !== own || url.pathname.startsWith("//")) return "/";
  return url.pathname + url.search + url.hash;
}

function oneOf(text: string | null, allowed: readonly string[]): string | undefined {
  return text !== null && allowed.includes(text) ? text : undefined;
}

const SERVER_AWAY: Page = {
  status: 503,
  title: "Sign-in is not possible at the moment",
  text: "The server that signs users in does not answer. Please try again in a moment.",
  button: { label: "Try again", href: "/bff/login" },
  retryAfter: 10,
};
const NOT_FINISHED: Page = {
  status: 400,
  title: "The sign-in was not finished",
  text: "The answer of the sign-in server does not belong to the sign-in that this browser began. Nothing was changed.",
  button: AGAIN,
};
const NOT_STRONG_ENOUGH: Page = {
  status: 400,
  title: "A stronger sign-in is needed",
  text: "What you wanted to do needs another way of signing in than the one you used.",
  button: AGAIN,
};
const CLOCKS_DIFFER: Page = {
  status: 400,
  title: "The clocks do not agree",
  text:
    "The clock of the sign-in server and the clock of this application's server differ by more than a minute, so the " +
    "sign-in cannot be checked. Whoever runs one of them has to set its clock.",
  button: AGAIN,
};

function unknownSignIn(request: Request): Page {
  const title = "This sign-in is not known";
  if (request.headers.has("cookie")) {
    const text = "It was finished already, it took longer than ten minutes, or it began in another browser.";
    return { status: 400, title, text, button: AGAIN };
  }
  const text =
    "Your browser sent no cookie back, and without cookies nobody can be signed in. Please allow cookies for this site. " +
    "Safari refuses secure cookies on http://localhost.";
  return { status: 400, title, text, button: AGAIN };
}
