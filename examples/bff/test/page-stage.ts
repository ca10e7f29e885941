/** The demo for tests that open its page in Chromium: with what the APIs got, and everything that has to stay secret. */
import { randomBytes } from "node:crypto";
import type { Received } from "../apis.ts";
import { type Demo, startDemo } from "../demo.ts";

export interface WatchedDemo extends Demo {
  /** What the APIs got. */
  readonly received: readonly Received[];
  /** Every token, code and verifier that the authorization server has seen or issued, the clients' secrets, the cookie key. */
  readonly secrets: readonly { readonly kind: string; readonly value: string }[];
}

export async function openDemo(): Promise<WatchedDemo> {
  const secrets: { kind: string; value: string }[] = [];
  const secret = new Uint8Array(randomBytes(32));
  const record = (kind: string, value: string): void => void secrets.push({ kind, value });
  const demo = await startDemo({ port: 0, secret, auth: { record } });
  record("client_secret", demo.auth.secrets.bff);
  record("client_secret", demo.auth.secrets.usual);
  record("cookie key", Buffer.from(secret).toString("base64url"));
  const received: Received[] = [];
  demo.apis.events.on("received", (request) => received.push(request));
  return { ...demo, received, secrets };
}
