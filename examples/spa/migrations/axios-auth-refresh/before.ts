import axios from "axios";
import { createAuthRefresh } from "axios-auth-refresh";
import { goToSignIn, onRefreshed } from "../page.ts";

export const api = axios.create({ baseURL: "/api" });

api.interceptors.request.use((config) => {
  config.headers["Authorization"] = `Bearer ${localStorage.getItem("token")}`;
  return config;
});

createAuthRefresh(api, async (failedRequest) => {
  try {
    const { data } = await axios.post("/auth/refresh");
    localStorage.setItem("token", data.accessToken);
    failedRequest.response.config.headers["Authorization"] = `Bearer ${data.accessToken}`;
    onRefreshed();
  } catch (error) {
    localStorage.removeItem("token");
    goToSignIn();
    throw error;
  }
});

export async function signIn(user: string): Promise<void> {
  const { data } = await axios.post("/auth/sign-in", { user });
  localStorage.setItem("token", data.accessToken);
}
