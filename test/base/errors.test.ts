import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { safeCause, withRejection } from "../../src/base/errors.ts";
import { findRemintError, isRemintError, RemintError, TokenEndpointError } from "../../src/index.ts";

/** The class as another copy of this package exports it. */
const copy: string = "../../src/base/errors.ts?copy";
const { RemintError: OtherCopy } = (await import(copy)) as { RemintError: typeof RemintError };

describe("RemintError", () => {
  test("has a code, says whether trying again may help, and prints its name once", () => {
    const error = new RemintError("ERR_TOKEN_NETWORK", "no way there", { retryable: true });
    expect(error).toBeInstanceOf(Error);
    expect([error.name, error.code, error.retryable, String(error)]).toEqual([
      "RemintError",
      "ERR_TOKEN_NETWORK",
      true,
      "RemintError: no way there",
    ]);
    expect(inspect(error).match(/RemintError/g)).toHaveLength(
      1 + (error.stack?.match(/RemintError/g)?.length ?? 1) - 1,
    );
    expect(new RemintError("ERR_CLOSED", "x").retryable).toBe(false);
    expect("cause" in new RemintError("ERR_CLOSED", "x")).toBe(false);
    expect("rejected" in new RemintError("ERR_CLOSED", "x")).toBe(false);
  });

  test.each([
    [400, false],
    [401, false],
    [403, false],
    [408, true],
    [429, true],
    [500, true],
    [503, true],
  ])("a token endpoint's %i is retryable: %s", (status, retryable) => {
    expect(new TokenEndpointError(status, "x").retryable).toBe(retryable);
    expect(new TokenEndpointError(status, "x", { retryable: !retryable }).retryable).toBe(!retryable);
  });

  test("S5: the error_description is readable, but in no printed form", () => {
    const error = new TokenEndpointError(400, "the token endpoint said no", {
      error: "invalid_client",
      errorDescription: "s3cret description",
    });
    expect(error.errorDescription).toBe("s3cret description");
    const printed = [
      String(error),
      JSON.stringify(error),
      inspect(error, { depth: 10 }),
      JSON.stringify(Object.entries(error)),
    ];
    for (const text of printed) expect(text).not.toContain("s3cret");
    expect(error).toMatchObject({
      name: "TokenEndpointError",
      code: "ERR_TOKEN_ENDPOINT",
      status: 400,
      terminal: false,
    });
  });
});

describe("isRemintError and findRemintError", () => {
  test("work across two copies of this package", () => {
    const foreign = new OtherCopy("ERR_CLOSED", "x");
    expect(foreign).not.toBeInstanceOf(RemintError);
    expect([isRemintError(foreign), findRemintError(foreign) === foreign]).toEqual([true, true]);
  });

  test.each([undefined, null, 0, "error", {}, [], new Error("x"), { code: "ERR_CLOSED" }, Symbol("x"), () => {}])(
    "%o is not a RemintError",
    (value) => {
      expect([isRemintError(value), findRemintError(value)]).toEqual([false, undefined]);
    },
  );

  test("findRemintError looks through causes, and ends on a circular chain of them", () => {
    const ours = new RemintError("ERR_CLOSED", "x");
    expect(findRemintError(new Error("a", { cause: new Error("b", { cause: ours }) }))).toBe(ours);
    const loop = new Error("loop");
    loop.cause = loop;
    expect(findRemintError(loop)).toBeUndefined();
  });
});

describe("Q8: the error of a request that was answered 401 and whose renewal failed", () => {
  const rejected = { status: 401, url: "https://api.example/orders" };

  test("Q8: a new error of the same class, code and status, with the shared error as its cause", () => {
    const shared = Object.freeze(
      new TokenEndpointError(503, "down", {
        error: "temporarily_unavailable",
        errorDescription: "later",
        retryAfter: 5000,
        terminal: true,
      }),
    );
    const wrapped = withRejection(shared, rejected);
    expect(wrapped).toBeInstanceOf(TokenEndpointError);
    expect(wrapped).not.toBe(shared);
    expect(wrapped).toMatchObject({
      code: "ERR_TOKEN_ENDPOINT",
      status: 503,
      error: "temporarily_unavailable",
      errorDescription: "later",
      retryAfter: 5000,
      terminal: true,
      retryable: true,
      rejected,
    });
    expect(wrapped.cause).toBe(shared);
    expect(shared.rejected).toBeUndefined();
    expect(Object.isFrozen(wrapped.rejected)).toBe(true);
  });

  test("Q8: a RemintError keeps its code and names the rejected request", () => {
    const shared = new RemintError("ERR_TOKEN_TIMEOUT", "too slow", { retryable: true });
    const wrapped = withRejection(shared, rejected);
    expect(wrapped).toMatchObject({
      name: "RemintError",
      code: "ERR_TOKEN_TIMEOUT",
      retryable: true,
      cause: shared,
      rejected,
    });
    expect(wrapped.message).toContain("https://api.example/orders answered 401");
  });
});

describe("S5: what is kept of an error of another library", () => {
  test("S5: name, message, code and causes; no property that may hold a request", () => {
    const socket = Object.assign(new Error("connect ECONNREFUSED"), { code: "ECONNREFUSED", address: "10.0.0.1" });
    const foreign = Object.assign(new TypeError("fetch failed", { cause: socket }), {
      config: { headers: { authorization: "Basic s3cret" } },
      request: { _header: "Authorization: Basic s3cret" },
      response: { data: { access_token: "s3cret" } },
    });
    const kept = safeCause(foreign);
    expect(kept).toMatchObject({ name: "TypeError", message: "fetch failed", cause: { code: "ECONNREFUSED" } });
    expect(inspect(kept, { depth: 10, showHidden: true })).not.toContain("s3cret");
    expect(JSON.stringify(kept)).not.toContain("s3cret");
  });

  test("S5: credentials in a message or a stack are removed", () => {
    const foreign = new Error('sent "Authorization: Bearer s3cret.token" and basic s3cret==, DPoP s3cret');
    expect(inspect(safeCause(foreign), { depth: 10, showHidden: true })).not.toContain("s3cret");
  });

  test("S5: a thrown value that is no Error is described by its kind only", () => {
    expect(safeCause("s3cret")).toMatchObject({ message: "a string was thrown" });
    expect(safeCause({ token: "s3cret" })).toMatchObject({ message: "a object was thrown" });
    expect(safeCause(undefined)).toBeUndefined();
  });

  test("S5: a circular chain of causes ends", () => {
    const loop = new Error("loop");
    loop.cause = loop;
    expect(safeCause(loop)).toMatchObject({ message: "loop" });
  });

  test("S5: our own errors are kept as they are", () => {
    const ours = new RemintError("ERR_CLOSED", "x");
    expect(safeCause(ours)).toBe(ours);
  });
});
