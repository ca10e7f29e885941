/** The errors of this package: what servers, loggers and other copies of the package see of them. */
import { inspect } from "node:util";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { adopt, hide, isTransientStatus, safeCause, tokenResponseError } from "../../src/base/errors.ts";
import { findRemintError, isRemintError, RemintError, TokenEndpointError } from "../../src/index.ts";

/** The classes as another copy of this package exports them. */
const copy: string = "../../src/base/errors.ts?copy";
const other = (await import(copy)) as {
  RemintError: typeof RemintError;
  TokenEndpointError: typeof TokenEndpointError;
};

/** An error with everything that an error may have. */
function fullError(): TokenEndpointError {
  return new TokenEndpointError(400, "no token is available", {
    cause: new Error("underneath"),
    hint: "check clientSecret",
    terminal: true,
    retryAfter: 6001,
    rejected: { status: 401, url: "https://api.example/orders" },
    error: "invalid_grant",
    errorDescription: "s3cret description",
  });
}

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
    [407, false],
    [408, true],
    [409, false],
    [429, true],
    [499, false],
    [500, true],
    [503, true],
    [599, true],
  ])("a token endpoint's %i is retryable: %s", (status, retryable) => {
    expect(isTransientStatus(status)).toBe(retryable);
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
      endpointStatus: 400,
      status: 503,
      terminal: false,
    });
  });

  test("the class name is on the prototype: no own `name` that loggers and `inspect` would print", () => {
    for (const error of [new RemintError("ERR_CLOSED", "x"), fullError()]) {
      expect(Object.hasOwn(error, "name")).toBe(false);
      expect(Object.prototype.propertyIsEnumerable.call(Object.getPrototypeOf(error), "name")).toBe(false);
    }
  });

  test("tokenResponseError: ERR_TOKEN_RESPONSE, not retryable, with the hint and the cause that are given", () => {
    const cause = new Error("underneath");
    expect(tokenResponseError("no", "look there", cause)).toMatchObject({
      code: "ERR_TOKEN_RESPONSE",
      message: "no",
      hint: "look there",
      cause,
      retryable: false,
      terminal: false,
    });
    expect(tokenResponseError("no")).not.toHaveProperty("hint");
  });
});

describe("Q17: what loggers see of an error", () => {
  test("enumerable are code, retryable, terminal and, when known, retryAfter, endpointStatus, error: nothing else", () => {
    expect(Object.fromEntries(Object.entries(fullError()))).toEqual({
      code: "ERR_TOKEN_ENDPOINT",
      retryable: false,
      terminal: true,
      retryAfter: 6001,
      endpointStatus: 400,
      error: "invalid_grant",
    });
    expect(Object.fromEntries(Object.entries(new RemintError("ERR_CLOSED", "x")))).toEqual({
      code: "ERR_CLOSED",
      retryable: false,
      terminal: false,
    });
  });

  test("the facts that are not enumerable are own properties", () => {
    const hidden = Object.entries(Object.getOwnPropertyDescriptors(fullError())).filter(
      ([, { enumerable }]) => !enumerable,
    );
    expect(hidden.map(([name]) => name).toSorted()).toEqual([
      "cause",
      "errorDescription",
      "expose",
      "headers",
      "hint",
      "message",
      "rejected",
      "stack",
      "status",
      "statusCode",
    ]);
  });

  test("the hint is one line of the stack, between the message and the frames, and no part of the message", () => {
    const error = new RemintError("ERR_GRANT", "public", { hint: "check https://auth.example" });
    const [first, second, third] = error.stack!.split("\n");
    expect([first, second]).toEqual(["RemintError: public", "    hint: check https://auth.example"]);
    expect(third).toMatch(/^ {4}at /);
    expect(error.stack!.match(/hint:/g)).toHaveLength(1);
    expect(error.message).toBe("public");
    expect(String(error)).toBe("RemintError: public");
    expect(inspect(error)).toContain("    hint: check https://auth.example\n");
  });

  test("the hint stands after a message of several lines, and in a stack without frames", () => {
    const error = new RemintError("ERR_GRANT", "one\ntwo", { hint: "three" });
    expect(error.stack).toMatch(/^RemintError: one\ntwo\n {4}hint: three\n {4}at /);
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    try {
      expect(new RemintError("ERR_GRANT", "one", { hint: "two" }).stack).toBe("RemintError: one\n    hint: two");
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
  });

  test("an application whose Error.prepareStackTrace returns call sites: the stack is theirs, and the error is ours", () => {
    const before: unknown = Reflect.get(Error, "prepareStackTrace");
    Error.prepareStackTrace = (_, sites) => sites;
    try {
      const error = new RemintError("ERR_GRANT", "no token", {
        hint: "check it",
        cause: safeCause(new Error("theirs")),
      });
      expect([error.code, error.hint, Array.isArray(error.stack)]).toEqual(["ERR_GRANT", "check it", true]);
      expect((error.cause as Error).message).toBe("theirs");
    } finally {
      Reflect.set(Error, "prepareStackTrace", before);
    }
  });

  test("a cause whose message and stack are no texts is kept as text", () => {
    const theirs = Object.assign(new Error("first"), { message: { status: 503 }, stack: 5, code: "E503" });
    expect(safeCause(theirs)).toMatchObject({ message: "[object Object]", code: "E503" });
  });

  test("without a hint there is none, and the stack is as the runtime made it", () => {
    const error = new RemintError("ERR_CLOSED", "x");
    expect("hint" in error).toBe(false);
    expect(error.stack).not.toContain("hint:");
  });

  test("structuredClone keeps the message, the stack with the hint, and the cause", () => {
    const clone = structuredClone(fullError()) as Error;
    expect(clone.message).toBe("no token is available");
    expect(clone.stack).toContain("    hint: check clientSecret");
    expect(clone.cause).toMatchObject({ message: "underneath" });
  });
});

describe("Q17: what a server that lets the error escape answers", () => {
  test("status and statusCode are 503, expose is false, the headers are a plain object without undefined", () => {
    const error = new RemintError("ERR_TOKEN_TIMEOUT", "x", { retryable: true });
    expect([error.status, error.statusCode, error.expose, error.headers]).toEqual([503, 503, false, {}]);
    expect(Object.getPrototypeOf(error.headers)).toBe(Object.prototype);
  });

  test("the token endpoint's own status is endpointStatus; invalid_client is no 401 of this server", () => {
    const error = new TokenEndpointError(401, "x", { error: "invalid_client" });
    expect([error.endpointStatus, error.status, error.statusCode]).toEqual([401, 503, 503]);
    expect(error.headers).toEqual({});
  });

  test("the user has to sign in again: 401 with a challenge (RFC 9110 section 15.5.2)", () => {
    const error = new TokenEndpointError(400, "x", { error: "invalid_grant", terminal: true });
    expect([error.status, error.statusCode, error.headers]).toEqual([401, 401, { "www-authenticate": "Bearer" }]);
  });

  test.each([
    [0, "0"],
    [1, "1"],
    [1000, "1"],
    [6001, "7"],
    [60_000, "60"],
  ])("retryAfter of %i ms is the header retry-after: %s", (retryAfter, header) => {
    const error = new RemintError("ERR_GRANT", "x", { retryAfter });
    expect([error.retryAfter, error.headers["retry-after"]]).toEqual([retryAfter, header]);
  });

  test("getResponse and toResponse: a Response with the status and the headers, and no body", async () => {
    for (const response of [fullError().getResponse(), fullError().toResponse()]) {
      expect(response).toBeInstanceOf(Response);
      expect([response.status, response.headers.get("retry-after"), response.headers.get("www-authenticate")]).toEqual([
        401,
        "7",
        "Bearer",
      ]);
      expect(await response.text()).toBe("");
    }
  });

  test("getResponse follows what a framework or the user has set", () => {
    const error = new RemintError("ERR_GRANT", "x");
    error.status = 502;
    error.headers["x-trace"] = "1";
    const response = error.getResponse();
    expect([response.status, response.headers.get("x-trace")]).toEqual([502, "1"]);
  });

  test("an error is never frozen: every property can be changed, and others added, as Koa, Next and p-retry do", () => {
    "use strict";
    const error = fullError();
    expect([Object.isFrozen(error), Object.isSealed(error), Object.isExtensible(error)]).toEqual([false, false, true]);
    for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(error))) {
      expect([name, property.writable, property.configurable]).toEqual([name, true, true]);
    }
    Object.assign(error, { status: 500, statusCode: 500, expose: true, headers: {}, digest: "1", attemptNumber: 1 });
    Error.captureStackTrace(error);
    expect(error).toMatchObject({ status: 500, digest: "1", attemptNumber: 1 });
  });

  test("a change of one error is not seen in another", () => {
    const [one, two] = [fullError(), fullError()];
    one.status = 500;
    one.headers["retry-after"] = "99";
    expect([two.status, two.headers["retry-after"]]).toEqual([401, "7"]);
  });

  test("Q8: rejected is a copy with the status and the URL, and not enumerable", () => {
    const rejected = { status: 401, url: "https://api.example/orders", token: "s3cret" };
    const error = new RemintError("ERR_TOKEN_TIMEOUT", "too slow", { rejected });
    expect(error.rejected).toEqual({ status: 401, url: "https://api.example/orders" });
    expect(error.rejected).not.toBe(rejected);
    expect(JSON.stringify(error) + inspect(error)).not.toContain("api.example");
  });
});

/** What findRemintError finds beneath this many other errors. */
function foundBeneath(depth: number): unknown {
  let error: Error = new RemintError("ERR_CLOSED", "x");
  for (let level = 0; level < depth; level++) error = new Error("outer", { cause: error });
  return findRemintError(error)?.code;
}

describe("isRemintError and findRemintError", () => {
  test("work across two copies of this package", () => {
    const foreign = new other.RemintError("ERR_CLOSED", "x");
    expect(Object.getPrototypeOf(foreign)).not.toBe(RemintError.prototype);
    expect([isRemintError(foreign), findRemintError(foreign) === foreign]).toEqual([true, true]);
  });

  test.each([undefined, null, 0, "error", {}, [], new Error("x"), { code: "ERR_CLOSED" }, Symbol("x"), () => {}])(
    "%o is not a RemintError",
    (value) => {
      expect([isRemintError(value), findRemintError(value)]).toEqual([false, undefined]);
      expect([value instanceof RemintError, value instanceof TokenEndpointError]).toEqual([false, false]);
    },
  );

  test("findRemintError looks through causes, and ends on a circular chain of them", () => {
    const ours = new RemintError("ERR_CLOSED", "x");
    expect(findRemintError(new Error("a", { cause: new Error("b", { cause: ours }) }))).toBe(ours);
    const loop = new Error("loop");
    loop.cause = loop;
    expect(findRemintError(loop)).toBeUndefined();
  });

  test("findRemintError looks at sixteen errors", () => {
    expect([foundBeneath(15), foundBeneath(16)]).toEqual(["ERR_CLOSED", undefined]);
  });

  test("the code narrows the type: the members of an answer are there", () => {
    const error: unknown = fullError();
    expect(isRemintError(error) && error.code === "ERR_TOKEN_ENDPOINT" ? error.endpointStatus : undefined).toBe(400);
  });
});

describe("Q17: instanceof", () => {
  test("is true for the errors of another copy, in both directions", () => {
    const [ours, theirs] = [new RemintError("ERR_CLOSED", "x"), new other.RemintError("ERR_CLOSED", "x")];
    expect([theirs instanceof RemintError, ours instanceof other.RemintError]).toEqual([true, true]);
    const refused = new other.TokenEndpointError(400, "x");
    expect([refused instanceof TokenEndpointError, refused instanceof RemintError]).toEqual([true, true]);
  });

  test("TokenEndpointError: only for errors with that code", () => {
    const theirs = new other.RemintError("ERR_TOKEN_NETWORK", "x");
    expect(theirs instanceof TokenEndpointError).toBe(false);
    expect(new RemintError("ERR_TOKEN_NETWORK", "x") instanceof TokenEndpointError).toBe(false);
    expect(fullError() instanceof TokenEndpointError).toBe(true);
  });

  test("a class that a user derives is its own: other errors of this package are not instances of it", () => {
    class TenantError extends RemintError {}
    const mine = new TenantError("ERR_GRANT", "x");
    expect([mine instanceof TenantError, mine instanceof RemintError, mine instanceof Error]).toEqual([
      true,
      true,
      true,
    ]);
    expect([fullError() instanceof TenantError, new Error("x") instanceof TenantError]).toEqual([false, false]);
    expect([undefined, null, 1, "x"].map((value) => (value as unknown) instanceof TenantError)).toEqual(
      Array.from({ length: 4 }, () => false),
    );
  });

  test("a prototype chain that is no class: false, and nothing is thrown", () => {
    const isInstance = RemintError[Symbol.hasInstance].bind({ prototype: Error.prototype } as never);
    expect(isInstance(new Error("x"))).toBe(false);
  });

  test("adopt makes another library's error one of ours, and nothing of it is printed", () => {
    const foreign = Object.assign(new Error("timeout"), { code: "ERR_TOKEN_TIMEOUT" });
    adopt(foreign);
    expect([isRemintError(foreign), foreign instanceof RemintError, foreign instanceof TokenEndpointError]).toEqual([
      true,
      true,
      false,
    ]);
    expect(findRemintError(new Error("outer", { cause: foreign }))).toBe(foreign);
    expect(foreign instanceof other.RemintError).toBe(true);
    expect(Object.keys(foreign)).toEqual(["code"]);
  });

  test("hide sets properties that are writable and not enumerable, also over those of a class", () => {
    class WithStatus extends Error {
      get status(): number {
        return 418;
      }
    }
    const error = new WithStatus("x") as Error & { status: number };
    hide(error, { status: 503 });
    expect(error.status).toBe(503);
    error.status = 500;
    expect([error.status, Object.keys(error)]).toEqual([500, []]);
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
    const foreign = new Error('sent "Authorization: Bearer s3cret.token" and basic   s3cret==, DPoP s3cret');
    const kept = safeCause(foreign) as Error;
    expect(kept.message).toBe('sent "Authorization: Bearer [redacted]" and basic [redacted], DPoP [redacted]');
    expect(inspect(kept, { depth: 10, showHidden: true })).not.toMatch(/s?3cret/);
  });

  test("S5: the stack says where the other library threw it", () => {
    const foreign = new Error("Bearer s3cret");
    foreign.stack = "Error: Bearer s3cret\n    at send (client.js:1:2)";
    const kept = safeCause(foreign) as Error;
    expect(kept.stack).toBe("Error: Bearer [redacted]\n    at send (client.js:1:2)");
    expect(Object.keys(kept)).toEqual([]);
    Object.assign(foreign, { stack: undefined });
    expect((safeCause(foreign) as Error).stack).toContain("safeCause");
  });

  test.each(["ECONNRESET", 20])("S5: a code is kept: %o", (code) => {
    expect(Object.keys(safeCause(Object.assign(new Error("x"), { code })) as Error)).toEqual(["code"]);
    expect(safeCause(Object.assign(new Error("x"), { code }))).toMatchObject({ code });
  });

  test.each([undefined, null, { token: "s3cret" }, Symbol("x")])("S5: a code that is no code is not: %o", (code) => {
    expect(Object.keys(safeCause(Object.assign(new Error("x"), { code })) as Error)).toEqual([]);
  });

  test("S5: an error without a cause gets none", () => {
    expect(Object.hasOwn(safeCause(new Error("x")) as Error, "cause")).toBe(false);
  });

  test("S5: of a long chain of causes the first four are kept", () => {
    let chain = new Error("5");
    for (const message of ["4", "3", "2", "1", "0"]) chain = new Error(message, { cause: chain });
    const messages: string[] = [];
    for (let kept = safeCause(chain); kept instanceof Error; kept = kept.cause) messages.push(kept.message);
    expect(messages).toEqual(["0", "1", "2", "3", "4"]);
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

  test("S5: an error of another realm, as Node's own errors are for code in Jest, keeps its message, code and causes", () => {
    const theirs: unknown = runInNewContext(
      'Object.assign(new Error("refused", { cause: new TypeError("inner") }), { code: "ECONNREFUSED", config: "secret" })',
    );
    expect(theirs).not.toBeInstanceOf(Error);
    const summary = safeCause(theirs);
    expect(summary).toMatchObject({ message: "refused", code: "ECONNREFUSED", cause: { message: "inner" } });
    expect(summary).not.toHaveProperty("config");
  });

  test("S5: our own errors are kept as they are", () => {
    const ours = new RemintError("ERR_CLOSED", "x");
    expect(safeCause(ours)).toBe(ours);
  });
});
