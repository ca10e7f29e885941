/** Sentry, with a transport that keeps what would be sent. In a file of its own, because it changes the whole process. */
import { createRequire } from "node:module";
import { startAuthServer } from "remint/testing";
import { beforeAll, expect, test } from "vitest";
import { ANSWERS, CLIENTS, createCalls, SECRETS } from "./calls.mjs";
import { EXPECTED } from "./contract.ts";

// Untyped, because the package is not installed where the types of this repository are checked.
const Sentry = createRequire(import.meta.url)("@sentry/node");

/** A part of Sentry's event. */
interface SentryEvent {
  readonly exception: { readonly values: readonly SentryException[] };
}
interface SentryException {
  readonly value: string;
  readonly stacktrace?: { readonly frames: readonly object[] };
}

const sent: string[] = [];

beforeAll(() => {
  Sentry.init({
    dsn: "http://key@127.0.0.1:1/1",
    integrations: (defaults: unknown[]) => [...defaults, Sentry.extraErrorDataIntegration()],
    transport: (options: unknown) =>
      Sentry.createTransport(options, ({ body }: { body: string | Uint8Array }) => {
        sent.push(typeof body === "string" ? body : new TextDecoder().decode(body));
        return Promise.resolve({ statusCode: 200 });
      }),
  });
});

test.each(CLIENTS)(
  "Q17: %s: three callers of one failed mint are three events, with the public message",
  async (client) => {
    const auth = await startAuthServer();
    auth.respondAlways(({ path }) => ANSWERS[path]);
    const call = createCalls(auth.origin);
    const results = await Promise.allSettled([1, 2, 3].map(() => call(client, "unavailable")));
    sent.length = 0;
    for (const result of results) Sentry.captureException((result as PromiseRejectedResult).reason);
    await Sentry.flush();
    await auth.close();

    expect(auth.requests).toHaveLength(1);
    const events = sent.map((envelope) => JSON.parse(envelope.split("\n")[2]!) as SentryEvent);
    expect(events).toHaveLength(3);
    for (const { exception } of events) {
      const thrown = exception.values.at(-1)!;
      expect(thrown.value).toBe(EXPECTED.unavailable.message);
      // The hint in the stack does not keep Sentry from reading the frames.
      expect(thrown.stacktrace?.frames.length).toBeGreaterThan(0);
    }
    expect(SECRETS.filter((secret) => sent.join().includes(secret))).toEqual([]);
  },
);
