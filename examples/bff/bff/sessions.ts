/**
 * The sessions: who is signed in, and for how long. The browser holds a random id and nothing else.
 *
 * The store's key is the digest of the id, so who can read the store cannot use a session. The tokens of a session are in
 * the pool under the same key.
 *
 * @module
 */
import { createHash, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { SignInResponse, TokenPool } from "remint";
import type { Cookies } from "./cookies.ts";
import { createSeal, type Seal } from "./seal.ts";
import type { Settings } from "./settings.ts";

/** The claims of an ID token. */
export interface Claims {
  readonly sub: string;
  readonly [claim: string]: unknown;
}

/** What is known of a session. */
export interface Session {
  /** The digest of the id that the browser has. */
  readonly key: string;
  readonly claims: Claims;
  /** For the sign-out at the authorization server. */
  readonly idToken: string | undefined;
  /** When the session ends at the latest: epoch milliseconds. */
  readonly absoluteUntil: number;
  /** When the session ends if it is not used: epoch milliseconds. */
  readonly idleUntil: number;
}

/** How a session ends. */
export interface EndOptions {
  /** Revokes its tokens at the authorization server too. @defaultValue true */
  readonly revoke?: boolean;
  /** How long to wait for the revocation, in milliseconds. It goes on afterwards. @defaultValue 2_000 (2 seconds) */
  readonly within?: number;
}

interface Stored {
  readonly claims: Claims;
  readonly idToken: string | undefined;
  readonly absoluteUntil: number;
}

/** The streams of one session in this process. */
interface Watch {
  readonly over: AbortController;
  streams: number;
}

const IDLE = 1_800_000;
const ABSOLUTE = 28_800_000;
/** How often a process with open streams looks whether another process has ended their sessions. Milliseconds. */
const LOOK_EVERY = 2000;
/** Milliseconds. */
const REVOCATION_WAIT = 2000;

/** All sessions. Any of them can be ended from here at any time. */
export class Sessions {
  readonly #settings: Settings;
  readonly #cookies: Cookies;
  readonly #tokens: TokenPool;
  readonly #seal: Seal;
  readonly #idle: number;
  readonly #watches = new Map<string, Watch>();
  #looking = false;

  constructor(settings: Settings, cookies: Cookies, tokens: TokenPool) {
    this.#settings = settings;
    this.#cookies = cookies;
    this.#tokens = tokens;
    this.#seal = createSeal(settings.secret, "session");
    this.#idle = settings.idle ?? IDLE;
  }

  /** Begins a session after a sign-in. Resolves to its key, and to the id for the browser: always a new one. */
  async begin(tokens: SignInResponse, claims: Claims, idToken?: string): Promise<{ key: string; id: string }> {
    const id = randomBytes(32).toString("base64url");
    const key = keyOf(id);
    const lifetime = Math.min(this.#settings.absolute ?? ABSOLUTE, refreshTokenLifetime(tokens));
    const stored: Stored = { claims, idToken, absoluteUntil: Date.now() + lifetime };
    await this.#tokens.signIn(key, tokens);
    await this.#settings.store.set(key, await this.#seal.seal(stored), Math.min(this.#idle, lifetime));
    for (const index of indexesOf(claims)) await this.#settings.store.link(index, key, lifetime);
    return { key, id };
  }

  /**
   * Finds the session of a request.
   *
   * @param slides Whether the request counts as use. Polling and event streams do not: they go on without the user.
   */
  async find(request: Request, { slides }: { readonly slides: boolean }): Promise<Session | undefined> {
    const id = this.#cookies.get(request, this.#cookies.session);
    return id === undefined || id === "" ? undefined : this.#read(keyOf(id), slides);
  }

  /** The key of the session whose id a request has, whether there still is such a session or not. */
  keyOf(request: Request): string | undefined {
    const id = this.#cookies.get(request, this.#cookies.session);
    return id === undefined || id === "" ? undefined : keyOf(id);
  }

  /** Ends a session. Its streams end, and what a refresh in progress brings is not used, but revoked. */
  async end(key: string, { revoke = true, within = REVOCATION_WAIT }: EndOptions = {}): Promise<void> {
    await this.#settings.store.delete(key);
    this.#endStreams(key);
    // A revocation that fails leaves the session ended: the store has forgotten it.
    const revoked = this.#tokens.signOut(key, { revoke }).catch(() => {});
    await Promise.race([revoked, sleep(within, undefined, { ref: false })]);
  }

  /** The keys of the sessions of one session at the authorization server, of one user, or of both together. */
  async of({ sid, sub }: { readonly sid?: string | undefined; readonly sub?: string | undefined }): Promise<string[]> {
    const lists = await Promise.all(indexesOf({ sid, sub }).map((index) => this.#settings.store.linked(index)));
    const [first = [], ...others] = lists;
    const named = first.filter((key) => others.every((list) => list.includes(key)));
    // An index also has the sessions that are over.
    const alive = await Promise.all(named.map(async (key) => (await this.#settings.store.get(key)) !== undefined));
    return named.filter((_key, at) => alive[at]);
  }

  /** The signal that aborts when a session ends, here or in another process. Call `release` when the stream has ended. */
  watch(key: string): { readonly signal: AbortSignal; readonly release: () => void } {
    const watch = this.#watches.get(key) ?? { over: new AbortController(), streams: 0 };
    this.#watches.set(key, watch);
    watch.streams++;
    void this.#look();
    const release = (): void => {
      if (--watch.streams === 0 && this.#watches.get(key) === watch) this.#watches.delete(key);
    };
    return { signal: watch.over.signal, release };
  }

  async #read(key: string, slides: boolean): Promise<Session | undefined> {
    const { store } = this.#settings;
    const text = await store.get(key, slides ? this.#idle : undefined);
    const stored = text === undefined ? undefined : ((await this.#seal.open(text)) as Stored | undefined);
    if (stored === undefined) return undefined;
    const now = Date.now();
    if (now < stored.absoluteUntil) {
      return { ...stored, key, idleUntil: Math.min(now + this.#idle, stored.absoluteUntil) };
    }
    await this.end(key);
    return undefined;
  }

  #endStreams(key: string): void {
    const watch = this.#watches.get(key);
    this.#watches.delete(key);
    watch?.over.abort();
  }

  /** Looks every two seconds whether the sessions of open streams still exist. Ends when no stream is open. */
  async #look(): Promise<void> {
    if (this.#looking) return;
    this.#looking = true;
    while (this.#watches.size > 0) {
      await sleep(LOOK_EVERY, undefined, { ref: false });
      for (const key of this.#watches.keys()) {
        // A store that fails now says nothing about the session.
        const found = await this.#read(key, false).catch(() => true as const);
        if (found === undefined) this.#endStreams(key);
      }
    }
    this.#looking = false;
  }
}

function keyOf(id: string): string {
  return createHash("sha256").update(id).digest("base64url");
}

/** The indexes under which a session is found by what the authorization server calls it. They do not show a name. */
function indexesOf({ sid, sub }: { readonly sid?: unknown; readonly sub?: unknown }): string[] {
  const names = { sid, sub };
  return Object.entries(names)
    .filter(([, value]) => typeof value === "string")
    .map(([name, value]) => `${name}:${keyOf(String(value))}`);
}

/** A session that outlives its refresh token would be one that cannot get tokens. */
function refreshTokenLifetime(tokens: SignInResponse): number {
  const seconds = Number((tokens as { readonly refresh_expires_in?: unknown }).refresh_expires_in);
  return seconds > 0 ? seconds * 1000 : Infinity;
}
