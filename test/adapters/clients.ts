/** The clients of the contract (contract.ts). A new client is one factory in ../matrix/clients.ts and one entry here. */
import axios, { type AxiosInstance } from "axios";
import { ofetch } from "ofetch";
import * as undici from "undici";
import * as undici6 from "undici-6";
import {
  axiosClient,
  fetchClient,
  globalKind,
  ofetchClient,
  type Setup,
  type Source,
  type TestClient,
  undiciClient,
  type UndiciModule,
} from "../matrix/clients.ts";

export type { Call, Reply, Sent, Setup, Source, TestClient } from "../matrix/clients.ts";

const NAMES = [
  "fetch",
  "ofetch",
  "axios/http",
  "axios/fetch",
  "undici/request",
  "undici-6/request",
  // Node's own fetch.
  "undici/fetch",
  "undici-6/fetch",
] as const;

export type ClientName = (typeof NAMES)[number];

/** All clients but some. */
export function clientsBut(...others: readonly ClientName[]): readonly ClientName[] {
  return NAMES.filter((name) => !others.includes(name));
}

/** The clients that take the key `remint` in the options of a request. fetch hands no option of its own to a dispatcher. */
export const withOverrides: readonly ClientName[] = clientsBut("undici/fetch", "undici-6/fetch");

const UNDICI_6 = undici6 as unknown as UndiciModule;

/** Creates an axios instance with the interceptors, for tests that need the instance itself. */
export function axiosWith(adapter: "http" | "fetch", source: Source, setup: Setup = {}): AxiosInstance {
  return axiosClient(adapter, axios, adapter).open(source, setup).axios!;
}

export const clients: readonly TestClient<ClientName>[] = [
  fetchClient("fetch"),
  ofetchClient("ofetch", ofetch),
  axiosClient("axios/http", axios, "http"),
  axiosClient("axios/fetch", axios, "fetch"),
  undiciClient("undici/request", undici),
  undiciClient("undici-6/request", UNDICI_6),
  undiciClient("undici/fetch", undici, globalKind),
  undiciClient("undici-6/fetch", UNDICI_6, globalKind),
];
