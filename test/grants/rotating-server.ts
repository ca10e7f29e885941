/** A token endpoint for tests whose refresh tokens rotate, with reuse detection. */
import { startAuthServer, type AuthServer } from "remint/testing";
import { onTestFinished } from "vitest";

/** A token endpoint with rotating refresh tokens. A refresh token that is sent twice ends the whole family. */
export interface RotatingServer {
  readonly auth: AuthServer;
  /** Returns the refresh token that is valid now, or `undefined` if the family has ended. */
  readonly live: () => string | undefined;
  /** Every refresh token that a client sent, oldest first. */
  readonly presented: string[];
  /** Uses up the valid refresh token, as another process would, and returns the next one. */
  readonly rotate: () => string;
  /** From now on, accepts the refresh token that was replaced last, like a server with a grace period. */
  readonly acceptReplaced: () => void;
}

export const FIRST = "rt-0-first";

export async function startRotatingServer(rotates = true): Promise<RotatingServer> {
  const auth = await startAuthServer();
  onTestFinished(() => auth.close());
  const presented: string[] = [];
  let live: string | undefined = FIRST;
  let replaced: string | undefined;
  let accepted: string | undefined;
  let count = 0;
  const rotate = (): string => {
    replaced = live;
    return (live = `rt-${++count}-next`);
  };
  auth.respondAlways(({ form }) => {
    const given = form.get("refresh_token") ?? "";
    presented.push(given);
    if (given !== live && given !== accepted) {
      live = undefined;
      return { status: 400, body: { error: "invalid_grant", error_description: `${given} is not good` } };
    }
    const next = rotates ? { refresh_token: rotate() } : {};
    return { body: { access_token: `at-${auth.mints + 1}`, token_type: "Bearer", expires_in: 3600, ...next } };
  });
  return { auth, live: () => live, presented, rotate, acceptReplaced: () => void (accepted = replaced) };
}

/** Creates a promise together with the functions that settle it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (e: Error) => void } {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
