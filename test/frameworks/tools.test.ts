/** What logs, reports, retries, wraps and copies errors: each does so with an error that a caller got. */
import { once } from "node:events";
import { createRequire } from "node:module";
import { Writable } from "node:stream";
import { Worker } from "node:worker_threads";
import { findRemintError, isRemintError, RemintError } from "remint";
import { manualClock, startAuthServer, type AuthServer } from "remint/testing";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ANSWERS, CLIENTS, createCalls, SECRETS, type Client, type FailureName } from "./calls.mjs";
import { EXPECTED } from "./contract.ts";

// Untyped, because the packages are not installed where the types of this repository are checked.
const require = createRequire(import.meta.url);
const FAILURES = Object.keys(EXPECTED) as FailureName[];

/** An error as a caller may use it: any property may be added. */
type CallersError = RemintError & Record<string, unknown>;

let auth: AuthServer;
let call: ReturnType<typeof createCalls>;

beforeAll(async () => {
  auth = await startAuthServer();
  auth.respondAlways(({ path }) => ANSWERS[path]);
});
afterAll(() => auth.close());
beforeEach(() => {
  call = createCalls(auth.origin);
});

/** Returns the error of one caller. */
async function errorOf(client: Client, failure: FailureName = "unavailable"): Promise<CallersError> {
  const error: unknown = await call(client, failure).then(
    () => expect.unreachable("the call did not fail"),
    (reason: unknown) => reason,
  );
  return error as CallersError;
}

/** Makes a call that fails, and records its error. */
async function fail(client: Client, errors: unknown[]): Promise<never> {
  const error = await errorOf(client);
  errors.push(error);
  throw error;
}

describe.each(CLIENTS)("an error of %s", (client) => {
  for (const failure of FAILURES) {
    const { input, code, message, status, headers } = EXPECTED[failure];
    test(`Q17: ${input}: ours, with a public message, and the hint in the stack and nowhere else`, async () => {
      const error = await errorOf(client, failure);
      expect(error).toBeInstanceOf(RemintError);
      expect(isRemintError(error)).toBe(true);
      expect(findRemintError(error)).toBe(error);
      expect(require("axios").isAxiosError(error)).toBe(client === "axios");
      expect(error).toMatchObject({ code, message, status, statusCode: status, headers, expose: false });
      const { hint } = error;
      expect(hint).toContain(`${auth.origin}/${failure}`);
      expect(error.stack!.split("\n").filter((line) => line === `    hint: ${hint}`)).toHaveLength(1);
      const hidden = ["status", "statusCode", "headers", "expose", "hint", "errorDescription"];
      expect(Object.keys(error).filter((name) => hidden.includes(name))).toEqual([]);
      expect(JSON.stringify(Object.assign({}, error))).not.toContain(hint);
      const response = error.getResponse();
      expect([response.status, await response.text()]).toEqual([status, ""]);
      expect(Object.fromEntries(response.headers)).toEqual(headers);
    });
  }

  test("Q17: pino logs the hint", async () => {
    const error = await errorOf(client);
    const lines: string[] = [];
    const log = require("pino").pino({}, { write: (line: string) => lines.push(line) });
    log.error(error);
    log.error({ err: error }, "no orders");
    expect(lines).toHaveLength(2);
    for (const line of lines) expectLogged(JSON.parse(line).err, error);
    expectNoSecret(lines.join());
  });

  test("Q17: winston logs the hint", async () => {
    const error = await errorOf(client);
    const lines: string[] = [];
    const { createLogger, format, transports } = require("winston");
    const stream = new Writable({ write: (chunk, _encoding, done) => (lines.push(String(chunk)), done()) });
    const log = createLogger({
      format: format.combine(format.errors({ stack: true }), format.json()),
      transports: [new transports.Stream({ stream })],
    });
    log.error(error);
    log.error("no orders", error);
    expect(lines).toHaveLength(2);
    for (const line of lines) expect(JSON.parse(line).stack).toContain(`\n    hint: ${error.hint}\n`);
    expect(JSON.parse(lines[0]!).message).toBe(error.message);
    expectNoSecret(lines.join());
  });

  test("Q17: bunyan logs the hint", async () => {
    const error = await errorOf(client);
    const { createLogger, RingBuffer, stdSerializers } = require("bunyan");
    const ring = new RingBuffer({ limit: 9 });
    const log = createLogger({ name: "test", serializers: stdSerializers, streams: [{ type: "raw", stream: ring }] });
    log.error(error);
    log.error({ err: error }, "no orders");
    expect(ring.records).toHaveLength(2);
    for (const { err } of ring.records) expectLogged(err, error);
    expectNoSecret(JSON.stringify(ring.records));
  });

  test("Q17: OpenTelemetry records code, message and hint", async () => {
    const error = await errorOf(client);
    const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require("@opentelemetry/sdk-trace-base");
    const exporter = new InMemorySpanExporter();
    const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
    const span = provider.getTracer("test").startSpan("orders");
    span.recordException(error);
    span.end();
    const [{ events }] = exporter.getFinishedSpans();
    expect(events[0].attributes).toEqual({
      "exception.type": error.code,
      "exception.message": error.message,
      "exception.stacktrace": expect.stringContaining(`\n    hint: ${error.hint}\n`),
    });
    expectNoSecret(JSON.stringify(events));
  });

  test.each(["p-retry-4", "p-retry-5", "p-retry-6", "p-retry-7"])(
    "Q17: %s repeats the call and rejects with the last error",
    async (name) => {
      const module = require(name);
      const pRetry = module.default ?? module;
      const errors: unknown[] = [];
      const seen: unknown[] = [];
      const onFailedAttempt = (attempt: unknown): void => void seen.push(attempt);
      const result = pRetry(() => fail(client, errors), { retries: 2, minTimeout: 0, onFailedAttempt });
      await expect(result).rejects.toSatisfy((error) => error === errors[2]);
      expect(new Set(errors).size).toBe(3);
      expect(seen).toHaveLength(3);
      // Versions 4 to 6 write into the error; version 7 makes an object around it.
      if (name !== "p-retry-7") expect(errors[2]).toMatchObject({ attemptNumber: 3, retriesLeft: 0 });
    },
  );

  test("Q17: async-retry repeats the call and rejects with the last error", async () => {
    const errors: unknown[] = [];
    const result = require("async-retry")(() => fail(client, errors), { retries: 2, minTimeout: 0 });
    await expect(result).rejects.toSatisfy((error) => error === errors[2]);
    expect(new Set(errors).size).toBe(3);
  });

  test("Q17: http-errors takes it for one of its own kind", async () => {
    const createError = require("http-errors");
    const error = await errorOf(client);
    expect(createError.isHttpError(error)).toBe(true);
    expect(createError(error)).toBe(error);
    expect(error).toMatchObject({ status: 503, statusCode: 503, expose: false, headers: { "retry-after": "7" } });
    expect(createError(502, error)).toBe(error);
    expect(createError(error, { requestId: "r-1" })).toMatchObject({ status: 503, requestId: "r-1" });
  });

  test("Q17: boomify makes an answer of it that shows nothing of ours", async () => {
    const { boomify } = require("@hapi/boom");
    const hidden = boomify(await errorOf(client));
    expect(hidden.output.payload).toEqual({
      statusCode: 500,
      error: "Internal Server Error",
      message: "An internal server error occurred",
    });
    const error = await errorOf(client);
    const shown = boomify(error, { statusCode: error.status });
    expect(shown).toBe(error);
    expect(shown.output.payload).toEqual({
      statusCode: 503,
      error: "Service Unavailable",
      message: EXPECTED.unavailable.message,
    });
  });

  test("Q17: structuredClone keeps message and stack, with the hint", async () => {
    const error = await errorOf(client, "unreachable");
    const copy = structuredClone<Error>(error);
    expect(copy).toBeInstanceOf(Error);
    expect([copy.message, copy.stack]).toEqual([error.message, error.stack]);
    expect((copy.cause as Error).message).toBe((error.cause as Error).message);
  });

  test("Q17: postMessage carries message and stack to a worker", async () => {
    const error = await errorOf(client, "unreachable");
    const program = `const { parentPort } = require("node:worker_threads");
      parentPort.once("message", ({ message, stack, cause }) => parentPort.postMessage({ message, stack, cause }));`;
    const worker = new Worker(program, { eval: true });
    worker.postMessage(error, []);
    const [received] = await once(worker, "message");
    expect([received.message, received.stack]).toEqual([error.message, error.stack]);
    expect(received.cause.message).toBe((error.cause as Error).message);
    await worker.terminate();
  });

  test.each(FAILURES)(
    "Q17: %s: everything can be written, added and deleted, also with captureStackTrace",
    async (failure) => {
      const error = await errorOf(client, failure);
      Error.captureStackTrace(error);
      expect(error.stack).toContain("tools.test.ts");
      const written = { status: 500, statusCode: 500, expose: true, headers: {}, digest: "1", requestId: "r-1" };
      const more = { message: "m", stack: "s", name: "n", code: "c", hint: "h", cause: 1, retryable: true };
      Object.assign(error, written, more);
      expect(ownProperties(error)).toMatchObject({ ...written, ...more });
      for (const name of Object.keys(written)) expect(Reflect.deleteProperty(error, name), name).toBe(true);
      expect(Object.isExtensible(error)).toBe(true);
    },
  );

  test.each(FAILURES)(
    "C9: %s: 1,000 callers of one failed mint get 1,000 errors, and write into their own only",
    async (failure) => {
      // However long a thousand errors take, the failure is remembered.
      call = createCalls(auth.origin, manualClock());
      const before = auth.requests.length;
      const goOn = auth.holdAnswers();
      const waiting = Promise.all(Array.from({ length: 1000 }, () => errorOf(client, failure)));
      await auth.waitFor(before + 1);
      goOn();
      const [first, ...others] = (await waiting) as [CallersError, ...CallersError[]];
      expect(new Set([first, ...others]).size).toBe(1000);
      const facts = JSON.stringify(ownProperties(others[0]!));

      Object.assign(first, { digest: "1", requestId: "r-1", status: 500, message: "m", stack: "s", hint: "h" });
      Object.assign(first.headers, { "x-written": "1" });
      if (first.cause instanceof Error) Object.assign(first.cause, { message: "m", written: "1" });

      // A call that comes later is told of the failure that is remembered.
      const later = await errorOf(client, failure);
      expect(auth.requests.length - before).toBe(1);
      for (const error of [...others, later]) {
        expect(error).not.toHaveProperty("digest");
        expect(error).not.toHaveProperty("requestId");
        expect(error.status).toBe(EXPECTED[failure].status);
        expect(error.headers).toEqual(EXPECTED[failure].headers);
        expect(error.message).toBe(EXPECTED[failure].message);
        expect(error.stack).toContain(`\n    hint: ${error.hint}\n`);
      }
      expect(JSON.stringify(ownProperties(others[0]!))).toBe(facts);
      for (const partOf of [headersOf, causeOf, innerCauseOf]) {
        const parts = [first, ...others, later].map(partOf).filter((part) => part !== undefined);
        expect(new Set(parts).size, partOf.name).toBe(parts.length);
      }
      const written = others.filter(({ cause }) => cause instanceof Error && Object.hasOwn(cause, "written"));
      expect(written).toEqual([]);
    },
  );
});

/** Asserts that a log's record of an error has its public message, and the hint in the stack. */
function expectLogged(record: { message: string; stack: string }, error: CallersError): void {
  expect(record.message).toBe(error.message);
  expect(record.stack).toContain(`\n    hint: ${error.hint}\n`);
}

function expectNoSecret(text: string): void {
  expect(SECRETS.filter((secret) => text.includes(secret))).toEqual([]);
}

function headersOf({ headers }: CallersError): unknown {
  return headers;
}

function causeOf({ cause }: CallersError): unknown {
  return cause;
}

function innerCauseOf({ cause }: CallersError): unknown {
  return cause instanceof Error ? cause.cause : undefined;
}

/** The own properties of an error, also those that are not enumerable. */
function ownProperties(error: CallersError): Record<string, unknown> {
  return Object.fromEntries(Object.getOwnPropertyNames(error).map((name) => [name, error[name]]));
}
