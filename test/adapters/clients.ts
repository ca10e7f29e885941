/** The clients of the contract (contract.ts). A new client is one factory in ../matrix/clients.ts and one entry here. */
import axios, { type AxiosInstance } from "axios";
import { ofetch } from "ofetch";
import { axiosClient, fetchClient, ofetchClient, type Setup, type Source, type TestClient } from "../matrix/clients.ts";

export type { Call, Reply, Sent, Setup, Source, TestClient } from "../matrix/clients.ts";

export type ClientName = "fetch" | "ofetch" | "axios/http" | "axios/fetch";

/** Creates an axios instance with the interceptors, for tests that need the instance itself. */
export function axiosWith(adapter: "http" | "fetch", source: Source, setup: Setup = {}): AxiosInstance {
  return axiosClient(adapter, axios, adapter).open(source, setup).axios!;
}

export const clients: readonly TestClient<ClientName>[] = [
  fetchClient("fetch"),
  ofetchClient("ofetch", ofetch),
  axiosClient("axios/http", axios, "http"),
  axiosClient("axios/fetch", axios, "fetch"),
];
