/** Q9, Q10: the user's objects are not written to, and their hooks run once. */
import { inspect } from "node:util";
import axios, { AxiosHeaders } from "axios";
import type { AxiosRequestConfig, AxiosResponse, InternalAxiosRequestConfig } from "axios";
import { expect } from "vitest";
import { createAuthOfetch } from "remint/ofetch";
import { axiosWith, type ClientName } from "./clients.ts";
import { type Case, failureOf, type World } from "./world.ts";

const axiosClients: readonly ClientName[] = ["axios/http", "axios/fetch"];

/** Prints a value in full, hidden and symbol keys included, to compare it before and after a call. */
function fullPrint(value: unknown): string {
  return inspect(value, { depth: 10, showHidden: true, sorted: true });
}

function adapterOf({ client }: World): "http" | "fetch" {
  return client.name === "axios/http" ? "http" : "fetch";
}

export const untouchedCases: readonly Case[] = [
  {
    name: "Q10: the caller's options and headers are not written to, whatever the outcome of the request",
    warmOnly: "the API of the case answers 401 by itself",
    async run(world) {
      const { call } = await world.warm();
      const headers = Object.freeze({ "x-mine": "1" });
      const remint = Object.freeze({ retry: true });
      const own = Object.freeze({ ...(world.client.name !== "fetch" && { headers }) });
      const sent = Object.freeze({ method: "POST", body: "mine", headers, remint, own });
      const before = fullPrint(sent);
      world.api.respond({ status: 401 }, { status: 200 });
      await call(`${world.api.origin}/renewed`, sent);
      world.api.respondAlways({ status: 401 });
      await call(`${world.api.origin}/refused`, sent);
      world.api.respondAlways({ reset: true });
      await failureOf(call(`${world.api.origin}/reset`, sent));
      expect(fullPrint(sent)).toBe(before);
      expect(world.api.requests.map((request) => request.headers["x-mine"])).toEqual(world.api.requests.map(() => "1"));
      expect(new Set(world.api.requests.slice(0, 2).map(({ token }) => token))).toEqual(
        new Set(world.auth.issued.slice(0, 2)),
      );
    },
  },
  {
    name: "Q10: a Headers object, an array of headers and an init are not written to",
    warmOnly: "the API of the case answers 401 by itself",
    clients: ["fetch", "ofetch", "undici/fetch", "undici-6/fetch"],
    async run(world) {
      const { call } = await world.warm();
      const headers = new Headers({ "x-mine": "1" });
      const pairs: [string, string][] = [["x-mine", "1"]];
      const before = fullPrint([headers, pairs]);
      world.api.respond({ status: 401 });
      expect((await call(`${world.api.origin}/x`, { headers })).status).toBe(200);
      expect((await call(`${world.api.origin}/y`, { headers: pairs })).status).toBe(200);
      expect(fullPrint([headers, pairs])).toBe(before);
      expect(world.api.requests.map((request) => request.headers["x-mine"])).toEqual(["1", "1", "1"]);
    },
  },
  {
    name: "Q10: the client's defaults are not written to",
    warmOnly: "the API of the case answers 401 by itself",
    clients: ["ofetch", ...axiosClients],
    async run(world) {
      const { tokens } = await world.warm();
      world.api.respond({ status: 401 });
      const defaults = { headers: { "x-default": "1" }, timeout: 5000, ...world.client.permissive };
      const before = fullPrint(defaults);
      expect((await world.connect(tokens, { defaults })(`${world.api.origin}/x`)).status).toBe(200);
      expect(fullPrint(defaults)).toBe(before);
      expect(world.api.requests.map(({ headers }) => headers["x-default"])).toEqual(["1", "1"]);
      if (world.client.name === "ofetch") return;
      const instance = axiosWith(adapterOf(world), tokens, { defaults });
      const instanceBefore = fullPrint(instance.defaults);
      world.api.respond({ status: 401 });
      await instance.get(`${world.api.origin}/y`);
      expect(fullPrint(instance.defaults)).toBe(instanceBefore);
    },
  },
  {
    name: "Q10: response.config and error.config are those of a request without us, and can be sent again",
    warmOnly: "the API of the case answers 401 by itself",
    clients: axiosClients,
    async run(world) {
      const { tokens } = await world.warm();
      const instance = axiosWith(adapterOf(world), tokens);
      const config = { url: `${world.api.origin}/x`, timeout: 5000, headers: new AxiosHeaders({ "X-Mine": "1" }) };
      world.api.respond({ status: 200 }, { status: 401 });
      const bare = await axios.create({ adapter: adapterOf(world) }).request(config);
      const response = await instance.request(config);
      expect(configPrint(response.config)).toBe(configPrint(bare.config));

      world.api.respondAlways({ status: 401 });
      const error = (await failureOf(instance.request(config))) as { config: InternalAxiosRequestConfig };
      expect(configPrint(error.config)).toBe(configPrint(bare.config));
      world.api.respondAlways(undefined);
      const sendsBefore = world.api.requests.length;
      expect((await instance.request(error.config)).status).toBe(200);
      expect((await instance.request(response.config)).status).toBe(200);
      expect(world.sends().slice(sendsBefore)).toEqual([world.auth.issued.at(-1), world.auth.issued.at(-1)]);
    },
  },
  {
    name: "Q9: transforms and interceptors run once, with and without a renewal",
    warmOnly: "the API of the case answers 401 by itself",
    clients: axiosClients,
    async run(world) {
      const { tokens } = await world.warm();
      const instance = axiosWith(adapterOf(world), tokens);
      const ran: string[] = [];
      const note =
        <T>(name: string) =>
        (value: T): T => (ran.push(name), value);
      instance.interceptors.request.use(note("request"));
      instance.interceptors.response.use(note("response"), (error) => (ran.push("failure"), Promise.reject(error)));
      const options: AxiosRequestConfig = {
        transformRequest: (data) => (ran.push("transformRequest"), JSON.stringify({ wrapped: data })),
        transformResponse: (data) => (ran.push("transformResponse"), data),
      };
      world.auth.revokeAll();
      const url = `${world.api.origin}/x`;
      expect((await instance.post(url, "data", options)).status).toBe(200);
      expect(ran.splice(0)).toEqual(["request", "transformRequest", "transformResponse", "response"]);
      expect(world.api.requests.map(({ text }) => text)).toEqual(['{"wrapped":"data"}', '{"wrapped":"data"}']);
      world.api.respondAlways({ status: 401 });
      await failureOf(instance.post(url, "data", options));
      expect(ran).toEqual(["request", "transformRequest", "transformResponse", "failure"]);
    },
  },
  {
    name: "Q9: hooks run once, and get no 401 that was renewed",
    warmOnly: "the API of the case answers 401 by itself",
    clients: ["ofetch"],
    async run(world) {
      const { tokens } = await world.warm();
      const ran: string[] = [];
      const api = createAuthOfetch(tokens, {
        onRequest: () => void ran.push("onRequest"),
        onRequestError: () => void ran.push("onRequestError"),
        onResponse: ({ response }) => void ran.push(`onResponse ${response.status}`),
        onResponseError: () => void ran.push("onResponseError"),
      });
      world.auth.revokeAll();
      expect(await api(`${world.api.origin}/x`)).toEqual({ ok: true, path: "/x" });
      expect(ran.splice(0)).toEqual(["onRequest", "onResponse 200"]);
      world.api.respondAlways({ status: 401 });
      await failureOf(api(`${world.api.origin}/y`));
      expect(ran).toEqual(["onRequest", "onResponse 401", "onResponseError"]);
    },
  },
  {
    name: "Q9: ofetch's own retry does not multiply the resend",
    warmOnly: "the API of the case answers 401 by itself",
    clients: ["ofetch"],
    async run(world) {
      const { tokens } = await world.warm();
      const api = createAuthOfetch(tokens, { retry: 2 });
      world.auth.revokeAll();
      world.api.respond(() => undefined, { status: 503 }, { status: 503 });
      expect(await api(`${world.api.origin}/x`)).toEqual({ ok: true, path: "/x" });
      const [old, fresh] = world.auth.issued;
      expect([world.sends(), world.auth.mints]).toEqual([[old, fresh, fresh, fresh], 2]);
    },
  },
  {
    name: "Q10: the caller gets the client's own response, with its headers and URL",
    warmOnly: "the API of the case answers 401 by itself",
    async run(world) {
      const { call } = await world.warm();
      world.auth.revokeAll();
      world.api.respond(() => undefined, { status: 201, headers: { "x-theirs": "2" }, body: "made" });
      const { status, text, response } = await call(`${world.api.origin}/x`, { method: "PUT" });
      expect([status, text]).toEqual([201, "made"]);
      if (response instanceof Response) {
        expect([response.url, response.headers.get("x-theirs")]).toEqual([`${world.api.origin}/x`, "2"]);
      } else expect((response as AxiosResponse).headers["x-theirs"]).toBe("2");
    },
  },
];

/**
 * Prints a config, of its headers only those that have a value: ours stays as a key with `undefined`, which is never
 * sent.
 */
function configPrint({ headers, ...rest }: InternalAxiosRequestConfig): string {
  return fullPrint({ ...rest, headers: { ...headers.toJSON() } });
}
