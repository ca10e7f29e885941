/**
 * The session of the page: one token cache for everything the page sends, and where the page goes when nobody is signed in.
 *
 * The cache is made when the module is loaded. A component that is rendered twice, as in React's strict mode, makes no second one.
 */
import { createTokenCache } from "remint";
import { refreshEndpoint, tabStore } from "remint/browser";
import type { RemintEvent, TokenCache } from "remint";

interface Issued {
  readonly accessToken: string;
  readonly expiresIn: number;
}

export const tokens: TokenCache = createTokenCache({
  grant: refreshEndpoint("/auth/refresh", { read: async (response) => (await response.json()) as Issued }),
  origins: ["self"],
  store: tabStore(),
  onEvent: follow,
});

/** `undefined` until the page knows. */
let isSignedIn: boolean | undefined;
const listeners = new Set<() => void>();

/** Calls the listener when somebody has signed in or nobody is signed in any more, in this tab or in another. */
export function onChange(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export async function signIn(user: string): Promise<void> {
  // Not through the client with the interceptor: this request needs no token.
  const response = await fetch("/auth/sign-in", { method: "POST", body: JSON.stringify({ user }) });
  const { accessToken, expiresIn } = (await response.json()) as Issued;
  await tokens.signIn({ access_token: accessToken, expires_in: expiresIn });
}

export async function signOut(): Promise<void> {
  // First the server: a cookie that stays would bring the user back.
  await fetch("/auth/sign-out", { method: "POST" });
  await tokens.signOut();
}

function follow(event: RemintEvent): void {
  if (event.name === "signed-in" || (event.name === "session-replaced" && !event.isEnded)) become(true);
  else if (event.name === "signed-out" || event.name === "session-replaced") become(false);
  // The server knows no session. Other failures pass, and are no reason to sign in again.
  else if (event.name === "mint-failed" && event.error.terminal) become(false);
}

/** Goes to the list or to the sign-in page, once, however many requests have failed. */
function become(next: boolean): void {
  if (isSignedIn === next) return;
  isSignedIn = next;
  location.hash = next ? "#/items" : "#/sign-in";
  for (const listener of listeners) listener();
}

// A changed module is loaded anew. The cache of the old one must not go on telling the page where to go.
import.meta.hot?.dispose(() => void tokens.close());
