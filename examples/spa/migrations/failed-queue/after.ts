import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { refreshEndpoint, tabStore } from "remint/browser";
import { goToSignIn, onRefreshed } from "../page.ts";

const tokens = createTokenCache({
  grant: refreshEndpoint("/auth/refresh", {
    body: (refreshToken) => JSON.stringify({ refreshToken }),
    headers: { "content-type": "application/json" },
    read: async (response) => {
      const { accessToken, expiresIn, refreshToken } = await response.json();
      return { accessToken, expiresIn, state: refreshToken };
    },
  }),
  origins: ["self"],
  store: tabStore({ persist: "local" }), // as before: the session outlives the last tab
  onEvent: (event) => {
    if (event.name === "minted") onRefreshed();
    if (event.name === "mint-failed" && event.error.terminal) goToSignIn();
  },
});

export const api = axios.create({ baseURL: "/api" });
api.interceptors.request.use(createAuthInterceptor(tokens));

export async function signIn(user: string): Promise<void> {
  const { data } = await axios.post("/auth/sign-in", { user, isJson: true });
  const { accessToken, expiresIn, refreshToken } = data;
  await tokens.signIn({ access_token: accessToken, expires_in: expiresIn, refresh_token: refreshToken });
}
