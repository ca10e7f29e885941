import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { refreshEndpoint, tabStore } from "remint/browser";
import { goToSignIn, onRefreshed } from "../page.ts";

const tokens = createTokenCache({
  grant: refreshEndpoint("/auth/refresh", { read: (response) => response.json() }),
  origins: ["self"],
  store: tabStore(),
  onEvent: (event) => {
    if (event.name === "minted") onRefreshed();
    if (event.name === "mint-failed" && event.error.terminal) goToSignIn();
  },
});

export const api = axios.create({ baseURL: "/api" });
api.interceptors.request.use(createAuthInterceptor(tokens));

export async function signIn(user: string): Promise<void> {
  const { data } = await axios.post("/auth/sign-in", { user });
  await tokens.signIn({ access_token: data.accessToken, expires_in: data.expiresIn });
}
