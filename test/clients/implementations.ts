/**
 * The implementations of fetch that the tests of this folder run against. Those that are no dependency of the repository are
 * installed here: `node test/clients/install.mjs`.
 */
import { existsSync } from "node:fs";
import { Agent as HttpAgent } from "node:http";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { SetupServer } from "msw/node";
import type { AuthFetchOptions } from "remint/fetch";

export type AnyFetch = NonNullable<AuthFetchOptions["fetch"]>;

/** One implementation of fetch. */
export interface Implementation {
  readonly fetch: AnyFetch;
  readonly Request: typeof Request;
  /** The class of its answers, where it is not the runtime's. */
  readonly Response?: typeof Response;
  /** Options of a request that share one connection, where that is possible. */
  readonly oneConnection?: () => { readonly init: object; readonly close: () => unknown };
  readonly close?: () => void;
}

/** Whether the packages of this folder are installed. */
export const isInstalled: boolean = existsSync(join(import.meta.dirname, "node_modules"));

const resolve = createRequire(import.meta.url).resolve;

/** Imports a package of this folder. */
async function load<T>(name: string): Promise<T> {
  const module = (await import(pathToFileURL(resolve(name)).href)) as { default?: T };
  return (module.default ?? module) as T;
}

interface Undici {
  readonly fetch: AnyFetch;
  readonly Request: typeof Request;
  readonly Response: typeof Response;
  readonly Agent: new (options: object) => { close(): Promise<void> };
}

async function undici(name: string): Promise<Implementation> {
  const { fetch, Request, Response, Agent } = await load<Undici>(name);
  const oneConnection = () => {
    const dispatcher = new Agent({ connections: 1, pipelining: 1 });
    return { init: { dispatcher }, close: () => dispatcher.close() };
  };
  return { fetch, Request, Response, oneConnection };
}

type NodeFetch = AnyFetch & { readonly Request: typeof Request; readonly Response: typeof Response };

function oneAgent() {
  const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 });
  return { init: { agent }, close: () => agent.destroy() };
}

async function nodeFetch(name: string): Promise<Implementation> {
  const fetch = await load<NodeFetch>(name);
  const classes = name === "node-fetch" ? ((await import(pathToFileURL(resolve(name)).href)) as NodeFetch) : fetch;
  return { fetch, Request: classes.Request, Response: classes.Response, oneConnection: oneAgent };
}

/** The fetch that Next.js puts in place of the runtime's, as it is while a route is rendered. */
async function next(): Promise<Implementation> {
  const { createPatchedFetcher } = await load<{ createPatchedFetcher: (fetch: AnyFetch, stores: object) => AnyFetch }>(
    "next/dist/server/lib/patch-fetch.js",
  );
  const store = { route: "/page", forceDynamic: true, isStaticGeneration: false };
  const stores = { workAsyncStorage: { getStore: () => store }, workUnitAsyncStorage: { getStore: () => undefined } };
  return { fetch: createPatchedFetcher((input, init) => fetch(input, init), stores), Request };
}

/** The fetch that msw puts in place of the runtime's; it lets every request through. */
async function msw(): Promise<Implementation> {
  const { setupServer } = await import("msw/node");
  const { http, passthrough } = await import("msw");
  const server: SetupServer = setupServer(http.all("*", () => passthrough()));
  server.listen({ onUnhandledRequest: "bypass" });
  return { fetch: (input, init) => fetch(input, init), Request, close: () => server.close() };
}

/** By name. A name with a version is that of a package in this folder. */
export const implementations: Readonly<
  Record<string, { readonly isHere: boolean; readonly start: () => Promise<Implementation> }>
> = {
  "Node's": { isHere: true, start: async () => ({ fetch: (input, init) => fetch(input, init), Request }) },
  "msw's": { isHere: true, start: msw },
  "undici 6": { isHere: isInstalled, start: () => undici("undici-6") },
  "undici 7": { isHere: isInstalled, start: () => undici("undici-7") },
  // It needs Node 22.
  "undici 8": { isHere: isInstalled && Number.parseInt(process.versions.node) >= 22, start: () => undici("undici-8") },
  "node-fetch 3": { isHere: isInstalled, start: () => nodeFetch("node-fetch") },
  "node-fetch 2": { isHere: isInstalled, start: () => nodeFetch("node-fetch-2") },
  "cross-fetch": { isHere: isInstalled, start: () => nodeFetch("cross-fetch") },
  "Next.js'": { isHere: isInstalled, start: next },
};
