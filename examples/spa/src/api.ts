/** The client of the API. Instance and interceptor are made together, so that a changed module has one interceptor again. */
import axios from "axios";
import { createAuthInterceptor } from "remint/axios";
import { tokens } from "./session.ts";

export interface Items {
  readonly user: string;
  readonly items: readonly string[];
}

export const api = axios.create({ baseURL: "/api" });
api.interceptors.request.use(createAuthInterceptor(tokens));

export async function loadItems(signal?: AbortSignal): Promise<Items> {
  return (await api.get<Items>("/items", signal && { signal })).data;
}
