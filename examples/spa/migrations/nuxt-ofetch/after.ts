import { ofetch } from "ofetch";
import { createTokenCache } from "remint";
import { refreshEndpoint, tabStore } from "remint/browser";
import { createAuthOfetch } from "remint/ofetch";
import { goToSignIn, onRefreshed } from "../page.ts";

// In Nuxt: plugins/api.client.ts, and the third argument { ofetch: $fetch }.
const tokens = createTokenCache({
  grant: refreshEndpoint("/auth/refresh", { read: (response) => response.json() }),
  origins: ["self"],
  store: tabStore(),
  onEvent: (event) => {
    if (event.name === "minted") onRefreshed();
    if (event.name === "mint-failed" && event.error.terminal) goToSignIn();
  },
});

export const api = createAuthOfetch(tokens, { baseURL: "/api" });

export async function signIn(user: string): Promise<void> {
  const { accessToken, expiresIn } = await ofetch("/auth/sign-in", { method: "POST", body: { user } });
  await tokens.signIn({ access_token: accessToken, expires_in: expiresIn });
}
