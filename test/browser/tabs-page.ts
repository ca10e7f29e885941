/** What runs in each tab of tabs.test.ts: a page with a refresh endpoint of its own server, as an application writes it. */
import { createTokenCache, isRemintError } from "remint";
import { refreshEndpoint, tabStore } from "remint/browser";
import { createAuthFetch } from "remint/fetch";
import type { RemintEvent, TokenCache } from "remint";

/** What a test calls in a tab. */
export interface Tab {
  /** Calls the API. Returns the status and whose answer it is, or the code and the status of the error. */
  call(): Promise<string>;
  /** Signs in at the server, and hands the answer to the cache. */
  signIn(user: string): Promise<void>;
  /** Signs out at the cache and at the server. */
  signOut(): Promise<void>;
  /** Forgets the token, as if it had expired. */
  expire(): Promise<void>;
  /** The names of the cache's events so far. */
  events: string[];
}

interface SignedIn {
  readonly accessToken: string;
  readonly expiresIn: number;
  readonly refreshToken?: string;
}

const { search } = globalThis.location;
const options = new URLSearchParams(search);
const isJson = options.has("json");
const events: string[] = [];
const tokens: TokenCache = createTokenCache({
  origins: ["self"],
  ...(options.get("store") !== "none" && {
    store: tabStore({ persist: options.get("persist") === "local" ? "local" : "session" }),
  }),
  onEvent: (event: RemintEvent) => events.push(event.name + ("isEnded" in event && event.isEnded ? " (ended)" : "")),
  grant: refreshEndpoint("/auth/refresh", {
    ...(isJson && { body: (state: string) => JSON.stringify({ refreshToken: state }) }),
    read: async (response) => {
      const { accessToken, expiresIn, refreshToken } = (await response.json()) as SignedIn;
      return { accessToken, expiresIn, ...(isJson && { state: refreshToken }) };
    },
  }),
});
const authFetch = createAuthFetch(tokens);

const tab: Tab = {
  events,
  async call() {
    try {
      const response = await authFetch("/api/me");
      return `${response.status} ${await response.text()}`;
    } catch (error) {
      if (!isRemintError(error)) throw error;
      return `${error.code} ${error.status}`;
    }
  },
  async signIn(user) {
    const response = await fetch(`/auth/login?user=${user}${isJson ? "&json" : ""}`, { method: "POST" });
    const { accessToken, expiresIn, refreshToken } = (await response.json()) as SignedIn;
    await tokens.signIn({ access_token: accessToken, expires_in: expiresIn, refresh_token: refreshToken });
  },
  async signOut() {
    await tokens.signOut();
    await fetch("/auth/logout", { method: "POST" });
  },
  async expire() {
    const token = tokens.peek();
    if (token !== undefined) await tokens.invalidate(token.value);
  },
};
Object.assign(globalThis, { tab });
