/**
 * Q14 and Q15: a request is what it was when the call was made, whenever it is sent, and what arrives is what fetch alone
 * sends, `Authorization` excepted. Each input is sent in five ways: at once, after waiting for a token, after waiting for
 * the source, a second time after a 401, and without a token.
 */
import { createTokenCache } from "remint";
import { type AuthFetch, type AuthRequestInit, createAuthFetch, type FetchInput } from "remint/fetch";
import { fakeGrant } from "remint/testing";
import {
  fetch as undiciFetch,
  FormData as UndiciForm,
  Headers as UndiciHeaders,
  Request as UndiciRequest,
} from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { until } from "../world.ts";
import { Echo, tokenOf, withoutToken } from "./echo.ts";

let echo: Echo;
beforeAll(async () => void (echo = await Echo.start()));
afterAll(() => echo[Symbol.asyncDispose]());

type AnyFetch = NonNullable<Parameters<typeof createAuthFetch>[1]>["fetch"];

/** One call: its arguments, and what the caller changes directly after it. */
interface Made {
  readonly input: FetchInput;
  readonly init?: AuthRequestInit;
  readonly change?: () => void;
}

interface Input {
  readonly what: string;
  readonly make: (origin: string) => Made;
  /** The fetch beneath. @defaultValue the one of Node */
  readonly fetch?: AnyFetch;
  /** Whether the request can be sent once only. */
  readonly once?: boolean;
}

const json = { "Content-Type": "application/json", "X-Mine": "1" };

function changedUrl(origin: string): Made {
  const input = new URL(`${origin}/page?n=1`);
  return {
    input,
    change: () => void (input.searchParams.set("n", "2"), (input.port = "9"), (input.pathname = "/other")),
  };
}

function changedInit(origin: string): Made {
  const init: AuthRequestInit = { method: "PUT", body: "first", headers: { ...json } };
  const change = (): void => {
    Object.assign(init.headers as object, { "X-Mine": "2", "x-other": "3" });
    Object.assign(init, { method: "DELETE", body: "second", signal: AbortSignal.abort(), headers: {} });
  };
  return { input: `${origin}/init`, init, change };
}

function withHeaders(headers: unknown, change?: () => void): (origin: string) => Made {
  return (origin) => ({
    input: `${origin}/headers`,
    init: { headers: headers as HeadersInit },
    ...(change && { change }),
  });
}

function made<T>(make: () => T, init: (value: T) => AuthRequestInit, change?: (value: T) => void): Input["make"] {
  return (origin) => {
    const value = make();
    return { input: `${origin}/made`, init: init(value), ...(change && { change: () => change(value) }) };
  };
}

/** Options in the way of a proxy: members that are getters, of a class with private fields. */
class Options {
  readonly #method = "PATCH";
  static reads = 0;
  get method(): string {
    return this.#method;
  }
  get headers(): Record<string, string> {
    return json;
  }
  get body(): string {
    Options.reads++;
    return `read ${Options.reads}`;
  }
}

const inputs: readonly Input[] = [
  { what: "a URL object that the caller changes", make: changedUrl },
  {
    what: "an object that makes another text each time",
    make: (origin) => {
      let count = 0;
      return { input: { toString: () => `${origin}/${count++}` } as unknown as URL };
    },
  },
  { what: "an init whose members the caller replaces", make: changedInit },
  {
    what: "a frozen init with frozen headers",
    make: made(
      () => Object.freeze({ ...json }),
      (headers) => Object.freeze({ method: "POST", body: "x", headers }),
    ),
  },
  {
    what: "an init that inherits its members",
    make: made(
      () => ({ method: "POST", body: "inherited", headers: { ...json } }),
      (base) => Object.create(base) as object,
    ),
  },
  {
    what: "an init that inherits from an object without a prototype",
    make: made(
      () => Object.assign(Object.create(null) as object, { method: "POST", body: "deep" }),
      (base) => Object.create(Object.create(base)) as object,
    ),
  },
  {
    what: "an init of a class with getters",
    make: made(
      () => new Options(),
      (init) => init as object,
    ),
  },
  {
    what: "an init that is a proxy",
    make: made(
      () => new Proxy({ method: "POST", body: "proxied", headers: { ...json } }, {}),
      (init) => init,
    ),
  },
  {
    what: "a function as init, with members",
    make: made(
      () => Object.assign(() => {}, { method: "POST", body: "of a function", headers: { ...json } }),
      (init) => init as object,
    ),
  },
  { what: "an init that is null", make: (origin) => ({ input: `${origin}/null`, init: null as never }) },
  {
    what: "a Request as init",
    make: (origin) => ({
      input: `${origin}/proxy`,
      init: new Request(`${origin}/elsewhere`, { method: "POST", body: "of a Request", headers: json }),
    }),
    once: true,
  },
  {
    what: "a Request with a body, whose headers the caller changes",
    make: (origin) => {
      const input = new Request(`${origin}/request`, { method: "POST", body: "in a Request", headers: json });
      return { input, change: () => input.headers.set("x-mine", "2") };
    },
  },
  {
    what: "a Request without a body, and an init",
    make: (origin) => ({ input: new Request(`${origin}/request`, { headers: json }), init: { cache: "no-store" } }),
  },
  {
    what: "a Request with another body in init",
    make: (origin) => ({ input: new Request(`${origin}/r`, { method: "PUT", body: "one" }), init: { body: "two" } }),
  },
  {
    what: "a Headers object that the caller changes, with its case",
    make: made(
      () => new Headers({ "X-Mine": "1", "X-Two": "a" }),
      (headers) => ({ headers }),
      (headers) => headers.set("x-mine", "2"),
    ),
  },
  {
    what: "a class derived from Headers that wants other arguments",
    make: made(
      () =>
        new (class extends Headers {
          constructor(tenant: { id: string }) {
            super({ "X-Tenant": tenant.id });
          }
        })({ id: "t" }),
      (headers) => ({ headers }),
    ),
  },
  {
    what: "pairs that the caller changes",
    make: made(
      () => [["X-Mine", "1"] as [string, string], ["X-Mine", "2"] as [string, string]],
      (headers) => ({ headers }),
      (headers) => void ((headers[0]![1] = "changed"), headers.push(["x-more", "3"])),
    ),
  },
  {
    what: "a Map",
    make: made(
      () => new Map([["X-Mine", "1"]]),
      (map) => ({ headers: map as never }),
      (map) => map.clear(),
    ),
  },
  { what: "the entries of a Map", make: (origin) => withHeaders(new Map([["X-Mine", "1"]]).entries())(origin) },
  {
    what: "a generator of pairs that are sets",
    make: (origin) =>
      withHeaders(
        (function* () {
          yield new Set(["X-Mine", "1"]);
          yield ["X-Two", "2"];
        })(),
      )(origin),
  },
  { what: "URLSearchParams as headers", make: withHeaders(new URLSearchParams({ "X-Mine": "1" })) },
  {
    what: "headers that are inherited, which fetch does not send",
    make: withHeaders(Object.create({ "x-inherited": "1" })),
  },
  { what: "headers without a prototype", make: withHeaders(Object.assign(Object.create(null) as object, json)) },
  {
    what: "a header that is undefined, a number, null and false",
    make: withHeaders({ "X-U": undefined, "X-N": 5, "X-0": null, "X-F": false }),
  },
  {
    what: "a header that is a list which the caller changes",
    make: made(
      () => ["a", "b"],
      (list) => ({ headers: { "X-List": list as never } }),
      (list) => list.push("c"),
    ),
  },
  {
    what: "URLSearchParams to which the caller appends",
    make: made(
      () => new URLSearchParams("a=1&a=2&b=%C3%BC"),
      (body) => ({ method: "POST", body }),
      (body) => body.append("late", "1"),
    ),
  },
  {
    what: "a FormData to which the caller appends",
    make: made(
      form,
      (body) => ({ method: "POST", body }),
      (body) => body.append("late", "1"),
    ),
  },
  {
    what: "a class derived from FormData that fills itself",
    make: made(
      () =>
        new (class extends FormData {
          constructor() {
            super();
            this.append("always", "1");
          }
        })(),
      (body) => ({ method: "POST", body }),
    ),
  },
  {
    what: "an empty text as body",
    make: made(
      () => "",
      (body) => ({ method: "POST", body }),
    ),
  },
  {
    what: "the Headers of the undici package, with their case",
    fetch: undiciFetch as never,
    make: made(
      () => new UndiciHeaders({ "X-Mine": "1" }),
      (headers) => ({ headers: headers as never }),
      (headers) => headers.set("x-mine", "2"),
    ),
  },
  {
    what: "a Request of the undici package, with its case",
    fetch: undiciFetch as never,
    make: (origin) => ({
      input: new UndiciRequest(`${origin}/u`, { method: "POST", body: "undici", headers: json }) as unknown as Request,
    }),
  },
  {
    what: "a FormData of the undici package",
    fetch: undiciFetch as never,
    make: made(
      () => {
        const body = new UndiciForm();
        body.set("a", "1");
        return body;
      },
      (body) => ({ method: "POST", body: body as never }),
      (body) => body.append("late", "1"),
    ),
  },
];

function form(): FormData {
  const body = new FormData();
  body.append("field", "välue");
  body.append("field", "two");
  body.append("file", new Blob(["bytes"], { type: "image/png" }), "a.png");
  body.append("file", new File(["more"], "b.png", { type: "image/png" }));
  return body;
}

/** A way to send a request: returns the fetch, and what to do once the call was made. */
type Way = (
  beneath: AnyFetch,
) => Promise<{ authFetch: AuthFetch; after?: () => Promise<void>; token: string | undefined }>;

const ways: Readonly<Record<string, Way>> = {
  async "at once"(beneath) {
    const tokens = cache(fakeGrant());
    await tokens.get();
    return { authFetch: createAuthFetch(tokens, { fetch: beneath }), token: "Bearer fake-1" };
  },
  async "after waiting for a token"(beneath) {
    const grant = fakeGrant();
    const hold = grant.hold();
    return {
      authFetch: createAuthFetch(cache(grant), { fetch: beneath }),
      after: () => until(() => hold.waiting === 1).then(() => hold.release()),
      token: "Bearer fake-1",
    };
  },
  async "after waiting for the source"(beneath) {
    const tokens = cache(fakeGrant());
    await tokens.get();
    return { authFetch: createAuthFetch(async () => tokens, { fetch: beneath }), token: "Bearer fake-1" };
  },
  async "after a 401"(beneath) {
    const first = echo.arrived.length;
    echo.status = (index) => (index === first ? 401 : 200);
    return { authFetch: createAuthFetch(cache(fakeGrant()), { fetch: beneath }), token: "Bearer fake-2" };
  },
  async "without a token"(beneath) {
    return { authFetch: createAuthFetch(async () => undefined, { fetch: beneath }), token: undefined };
  },
};

function cache(grant: ReturnType<typeof fakeGrant>) {
  return createTokenCache({ grant, origins: [echo.origin] });
}

describe.each(Object.entries(ways))("%s", (name, way) => {
  for (const { what, make, fetch: beneath, once } of inputs) {
    if (name === "after a 401" && once) continue;
    test(`Q14, Q15: ${what}: what arrives is what fetch alone sends`, async () => {
      Options.reads = 0;
      echo.status = () => 200;
      const alone = make(echo.origin);
      await (beneath ?? fetch)(alone.input, alone.init);
      const expected = withoutToken(echo.arrived.at(-1)!);
      Options.reads = 0;
      const { authFetch, after, token } = await way(beneath);
      const { input, init, change } = make(echo.origin);
      const pending = authFetch(input, init);
      change?.();
      await after?.();
      expect((await pending).status).toBe(200);
      expect(withoutToken(echo.arrived.at(-1)!)).toEqual(expected);
      expect(tokenOf(echo.arrived.at(-1)!)).toBe(token);
    });
  }
});

test.each(["a URL of the listed origin", "a URL of another origin"])(
  "Q2: a Request of a derived class, which says %s and is sent to the other, gets no token",
  async (said) => {
    await using other = await Echo.start();
    const tokens = cache(fakeGrant());
    await tokens.get();
    const isListed = said.includes("listed");
    class Derived extends Request {
      override get url(): string {
        return `${isListed ? echo.origin : other.origin}/said`;
      }
    }
    const sentTo = isListed ? other : echo;
    expect((await createAuthFetch(tokens)(new Derived(`${sentTo.origin}/sent`))).status).toBe(200);
    expect([sentTo.arrived.at(-1)!.url, tokenOf(sentTo.arrived.at(-1)!)]).toEqual(["/sent", undefined]);
  },
);

test("Q2: a Request of a derived class, which says another URL of the same origin, gets the token", async () => {
  const tokens = cache(fakeGrant());
  class Derived extends Request {
    override get url(): string {
      return `${echo.origin}/without-the-base-path`;
    }
  }
  await createAuthFetch(tokens)(new Derived(`${echo.origin}/base/path`));
  expect([echo.arrived.at(-1)!.url, tokenOf(echo.arrived.at(-1)!)]).toEqual(["/base/path", "Bearer fake-1"]);
});
