/**
 * One of several BFF processes: the app of `app.ts`, with its sessions in Redis. Started by `replicas.ts`.
 *
 * @module
 */
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { type AppSettings, createApp } from "./app.ts";
import { redisStores } from "./redis.ts";

/** What a process is told, as it can be sent to it. */
export interface ReplicaSettings extends Pick<
  AppSettings,
  "origin" | "issuer" | "clientId" | "clientSecret" | "scope" | "resources" | "apis" | "plainCookies"
> {
  readonly redisUrl: string;
  /** Base64 of the two keys. */
  readonly secret: string;
  readonly tokenKey: string;
  readonly files: readonly (readonly [path: string, file: { readonly type: string; readonly body: string }])[];
}

process.once("message", ({ redisUrl, secret, tokenKey, files, ...settings }: ReplicaSettings) => {
  const redis = redisStores(redisUrl, tokenKey);
  const app = createApp({
    ...settings,
    ...redis.stores,
    secret: Buffer.from(secret, "base64"),
    files: new Map(files),
  });
  const server = serve({ fetch: app.hono.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }: AddressInfo) => {
    process.send?.(port);
  });
  process.once("disconnect", () => {
    server.close();
    void app.tokens.close().then(() => redis.close());
    setTimeout(() => process.exit(0), 1000).unref();
  });
  // Ctrl-C reaches every process of the terminal. The first one ends the others.
  process.on("SIGINT", () => {});
});
