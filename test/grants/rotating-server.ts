import { onTestFinished } from "vitest";
import { startAuthServer, type AuthServer } from "remint/testing";

/** A token endpoint whose refresh tokens rotate, with reuse detection: one that comes twice ends the whole family. */
export interface RotatingServer {
  readonly auth: AuthServer;
  /** The refresh token that is good now. */
  readonly live: () => string | undefined;
  /** Every refresh token that was presented, in order. */
  readonly presented: string[];
  /** What another process does: uses up the live refresh token. */
  readonly rotate: () => string;
  /** What a server with a grace period does: takes the refresh token that was replaced last once more. */
  readonly forgive: () => void;
}

export const FIRST = "rt-0-first";

export async function startRotatingServer(rotates = true): Promise<RotatingServer> {
  const auth = await startAuthServer();
  onTestFinished(() => auth.close());
  const presented: string[] = [];
  let live: string | undefined = FIRST;
  let replaced: string | undefined;
  let forgiven: string | undefined;
  let count = 0;
  const rotate = (): string => {
    replaced = live;
    return (live = `rt-${++count}-next`);
  };
  auth.respondAlways(({ form }) => {
    const given = form.get("refresh_token") ?? "";
    presented.push(given);
    if (given !== live && given !== forgiven) {
      live = undefined;
      return { status: 400, body: { error: "invalid_grant", error_description: `${given} is not good` } };
    }
    const next = rotates ? { refresh_token: rotate() } : {};
    return { body: { access_token: `at-${auth.mints + 1}`, token_type: "Bearer", expires_in: 3600, ...next } };
  });
  return { auth, live: () => live, presented, rotate, forgive: () => void (forgiven = replaced) };
}

/** A promise that is settled from outside. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (e: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
