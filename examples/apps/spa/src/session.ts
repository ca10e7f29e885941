import { createTokenCache } from "remint";
import { refreshEndpoint, tabStore } from "remint/browser";
import { createAuthFetch } from "remint/fetch";

/** What the rest of the page wants to know: whether a user is signed in now. Set by main.ts. */
export const session = { onChange: (_isSignedIn: boolean): void => {} };

const tokens = createTokenCache({
  grant: refreshEndpoint("/auth/refresh", { read: (response) => response.json() }),
  origins: ["self"],
  store: tabStore({ name: "orders" }),
  onEvent(event) {
    // The server says that nobody is signed in (any more).
    if (event.name === "mint-failed" && event.error.terminal) session.onChange(false);
    // Another tab has signed in or out.
    if (event.name === "session-replaced") session.onChange(!event.isEnded);
  },
});

/** Like fetch, with the token of the user who is signed in. */
export const api = createAuthFetch(tokens);

/** @returns Whether the name and the password are right. */
export async function signIn(user: string, password: string): Promise<boolean> {
  const response = await fetch("/auth/sign-in", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user, password }),
  });
  if (response.status === 401) return false;
  if (!response.ok) throw new Error(`the sign-in was answered ${response.status}`);
  const { accessToken, expiresIn } = (await response.json()) as { accessToken: string; expiresIn: number };
  await tokens.signIn({ access_token: accessToken, expires_in: expiresIn });
  return true;
}

/** Ends the session at the server, and then in all tabs. */
export async function signOut(): Promise<void> {
  const response = await fetch("/auth/sign-out", { method: "POST" });
  if (!response.ok) throw new Error(`the sign-out was answered ${response.status}`);
  await tokens.signOut();
}
