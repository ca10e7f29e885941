import { ofetch } from "ofetch";
import { goToSignIn, onRefreshed } from "../page.ts";

let token = ""; // In Nuxt: useState("token"), and $fetch in place of ofetch.

// Nuxt's plugins/api.ts
export const api = ofetch.create({
  baseURL: "/api",
  retry: 1,
  retryStatusCodes: [401],
  onRequest({ options }) {
    options.headers.set("Authorization", `Bearer ${token}`);
  },
  async onResponseError({ response }) {
    if (response.status !== 401) return;
    try {
      token = (await ofetch("/auth/refresh", { method: "POST" })).accessToken;
      onRefreshed();
    } catch {
      token = "";
      goToSignIn();
    }
  },
});

export async function signIn(user: string): Promise<void> {
  token = (await ofetch("/auth/sign-in", { method: "POST", body: { user } })).accessToken;
}
