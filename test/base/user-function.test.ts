/** Calls of a user's functions: their failures have one kind, and say which function it was. */
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { RemintError, TokenEndpointError } from "../../src/base/errors.ts";
import { pendingUnder } from "../../src/base/pending.ts";
import { callUserFunction, stringOf, userFunctionError } from "../../src/base/user-function.ts";
import { rejectionOf } from "../core/cache-under-test.ts";

const MESSAGE = "no token is available: a function that was given to the grant failed";
const HINT = 'the function "clientSecret" failed; see the cause';

const signal = new AbortController().signal;
const failed = (error: unknown): Promise<unknown> =>
  rejectionOf(callUserFunction("clientSecret", signal, () => Promise.reject(error as Error)));

describe("callUserFunction", () => {
  test("returns what the function returns, at once or later", async () => {
    expect(await callUserFunction("clientSecret", signal, () => "s")).toBe("s");
    expect(await callUserFunction("clientSecret", signal, async () => "s")).toBe("s");
    expect(await callUserFunction("clientSecret", undefined, () => "s")).toBe("s");
  });

  test("names the function while it is awaited", () => {
    const own = new AbortController().signal;
    void callUserFunction("clientSecret", own, () => new Promise(() => {}));
    expect(pendingUnder(own)).toEqual({ what: 'the function "clientSecret"', isServer: false });
  });

  test("throws or rejects: an ERR_GRANT whose hint names it, with a copy of its error as cause", async () => {
    const sealed = Object.assign(new Error("vault is sealed"), { code: "SEALED", config: { token: "s3cret" } });
    const thrown = rejectionOf(
      callUserFunction("clientSecret", signal, () => {
        throw sealed;
      }),
    );
    for (const error of [await thrown, await failed(sealed)]) {
      expect(error).toMatchObject({
        code: "ERR_GRANT",
        message: MESSAGE,
        hint: HINT,
        retryable: false,
        terminal: false,
      });
      expect((error as Error).cause).toMatchObject({ name: "Error", message: "vault is sealed", code: "SEALED" });
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cret");
    }
  });

  test.each([undefined, null, "s3cret", { token: "s3cret" }, 7])(
    "throws %j, which is no error: an ERR_GRANT that does not show it",
    async (value) => {
      const error = await failed(value);
      expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, hint: HINT, retryable: false });
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cret");
    },
  );

  test("throws an error of this package: it is the cause, and neither its code nor its facts are taken over", async () => {
    const ours = new TokenEndpointError(401, "x", { error: "invalid_grant", terminal: true, retryAfter: 9 });
    const error = await failed(ours);
    expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, hint: HINT, retryable: false, terminal: false });
    for (const name of ["error", "endpointStatus", "retryAfter"]) expect(error).not.toHaveProperty(name);
    expect((error as Error).cause).toBe(ours);
  });

  test.each([
    ["an error of this package that is", new RemintError("ERR_TOKEN_NETWORK", "x", { retryable: true })],
    ["a broken connection", Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET" })],
    ["a fetch that failed", new TypeError("fetch failed", { cause: Object.assign(new Error("x"), { code: "EPIPE" }) })],
    ["a status of 503", Object.assign(new Error("x"), { status: 503 })],
    ["a status of 429 of an SDK", Object.assign(new Error("x"), { $metadata: { httpStatusCode: 429 } })],
  ])("is retryable: %s", async (_what, cause) => {
    expect(await failed(cause)).toMatchObject({ code: "ERR_GRANT", retryable: true });
  });

  test.each([
    ["an error of this package that is not", new RemintError("ERR_CLOSED", "x")],
    ["a file that is missing", Object.assign(new Error("x"), { code: "ENOENT" })],
    ["a status of 403", Object.assign(new Error("x"), { status: 403 })],
  ])("is not retryable: %s", async (_what, cause) => {
    expect(await failed(cause)).toMatchObject({ code: "ERR_GRANT", retryable: false });
  });

  test("C10: fails because the signal has aborted, or after that: the signal's reason itself", async () => {
    const controller = new AbortController();
    const reason = new Error("time is up");
    const error = rejectionOf(
      callUserFunction("clientSecret", controller.signal, async () => {
        controller.abort(reason);
        throw new Error("aborted");
      }),
    );
    expect(await error).toBe(reason);
  });

  test("what the caller says of the failure goes into it", () => {
    const error = userFunctionError("onRotate", new Error("s3cret"), {
      consequence: "The next mint calls it again",
      retryable: true,
      causeOf: () => "kept",
    });
    expect(error).toMatchObject({
      message: MESSAGE,
      hint: 'the function "onRotate" failed; see the cause. The next mint calls it again',
      retryable: true,
      cause: "kept",
    });
  });
});

describe("stringOf", () => {
  test("returns a string as it is, and what a function gives, with the context it is called with", async () => {
    expect(await stringOf("clientSecret", "s", signal)).toBe("s");
    expect(await stringOf("clientSecret", () => "s", signal)).toBe("s");
    expect(await stringOf("subjectToken", async (a: number, b: number) => `${a}${b}`, signal, 1, 2)).toBe("12");
  });

  test.each([undefined, null, "", 7, {}, ["s3cret"]])(
    "a function that returns %j: an ERR_GRANT whose hint and cause name the option and the kind of the value",
    async (value) => {
      const error = await rejectionOf(stringOf("clientSecret", (() => value) as () => string, signal));
      const [, kind] = /^"clientSecret" must be a non-empty string, got (undefined|null|an? [a-z ]+)$/.exec(
        ((error as Error).cause as Error).message,
      )!;
      const hint = `the function "clientSecret" failed: "clientSecret" must be a non-empty string, got ${kind}`;
      expect(error).toMatchObject({ code: "ERR_GRANT", message: MESSAGE, hint, retryable: false });
      expect((error as Error).cause).toMatchObject({ name: "TypeError" });
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cret");
    },
  );
});
