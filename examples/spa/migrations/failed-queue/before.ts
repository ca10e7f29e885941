import axios from "axios";
import { goToSignIn, onRefreshed } from "../page.ts";

export const api = axios.create({ baseURL: "/api" });

let isRefreshing = false;
let failedQueue: { resolve: (token: string | null) => void; reject: (error: unknown) => void }[] = [];

function processQueue(error: unknown, token: string | null = null): void {
  for (const { resolve, reject } of failedQueue) {
    if (error) reject(error);
    else resolve(token);
  }
  failedQueue = [];
}

function keep(data: { accessToken: string; refreshToken: string }): void {
  localStorage.setItem("refreshToken", data.refreshToken);
  api.defaults.headers.common["Authorization"] = `Bearer ${data.accessToken}`;
}

api.interceptors.response.use(
  (response) => response,
  async (error) => {
    const originalRequest = error.config;
    if (error.response?.status !== 401 || originalRequest._retry) return Promise.reject(error);
    if (isRefreshing) {
      return new Promise((resolve, reject) => {
        failedQueue.push({ resolve, reject });
      }).then((token) => {
        originalRequest.headers["Authorization"] = `Bearer ${token}`;
        return api(originalRequest);
      });
    }
    originalRequest._retry = true;
    isRefreshing = true;
    try {
      const { data } = await axios.post("/auth/refresh", { refreshToken: localStorage.getItem("refreshToken") });
      keep(data);
      onRefreshed();
      processQueue(null, data.accessToken);
      originalRequest.headers["Authorization"] = `Bearer ${data.accessToken}`;
      return api(originalRequest);
    } catch (refreshError) {
      processQueue(refreshError);
      localStorage.removeItem("refreshToken");
      goToSignIn();
      return Promise.reject(refreshError);
    } finally {
      isRefreshing = false;
    }
  },
);

export async function signIn(user: string): Promise<void> {
  const { data } = await axios.post("/auth/sign-in", { user, isJson: true });
  keep(data);
}
