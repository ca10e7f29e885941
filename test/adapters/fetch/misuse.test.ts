/** Mistakes in the arguments are said when the client is created, with the line to write. */
import axios from "axios";
import ky from "ky";
import { ofetch } from "ofetch";
import { createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";
import { createAuthOfetch } from "remint/ofetch";
import { fakeGrant } from "remint/testing";
import { expect, test } from "vitest";

const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
const undiciLike = async (): Promise<Response> => new Response();
const FETCH_LINE = "Write createAuthFetch(tokens, { fetch })";
const OFETCH_LINE = "Write createAuthOfetch(tokens, {}, { ofetch })";

/** Does what ofetch 1.3 does: its `create` takes no second argument. */
const ofetch13 = Object.assign(async () => {}, { create: (_defaults: object) => async () => {} });

const mistakes: [what: string, make: () => unknown, message: string][] = [
  ["Q2: createAuthFetch(fetch, tokens)", () => createAuthFetch(fetch as never, tokens as never), FETCH_LINE],
  ["Q2: createAuthFetch(fetch)", () => createAuthFetch(fetch as never), FETCH_LINE],
  [
    "Q2: createAuthFetch(another fetch, tokens)",
    () => createAuthFetch(undiciLike as never, tokens as never),
    FETCH_LINE,
  ],
  ["Q2: createAuthFetch(ky)", () => createAuthFetch(ky as never), FETCH_LINE],
  ["Q2: createAuthFetch(ofetch, { fetch })", () => createAuthFetch(ofetch as never, { fetch }), FETCH_LINE],
  ["Q2: createAuthFetch(axios)", () => createAuthFetch(axios as never), "createAuthInterceptor(tokens)"],
  [
    "Q2: createAuthFetch(instance, tokens)",
    () => createAuthFetch(axios.create() as never, tokens as never),
    "createAuthInterceptor(tokens)",
  ],
  ["Q2: createAuthOfetch(axios)", () => createAuthOfetch(axios as never), "createAuthInterceptor(tokens)"],
  ["Q2: createAuthOfetch(ofetch, tokens)", () => createAuthOfetch(ofetch as never, tokens as never), OFETCH_LINE],
  ["Q2: createAuthOfetch($fetch)", () => createAuthOfetch(ofetch.create({}) as never), OFETCH_LINE],
  ["Q2: createAuthOfetch(tokens, tokens)", () => createAuthOfetch(tokens, tokens as never), OFETCH_LINE],
  [
    "Q2: createAuthOfetch(tokens, ofetch)",
    () => createAuthOfetch(tokens, ofetch as never),
    "must be ofetch's defaults, got a function",
  ],
  [
    "Q2: createAuthOfetch(tokens, a URL)",
    () => createAuthOfetch(tokens, "https://api.example" as never),
    '{ baseURL: "https://api.example" }',
  ],
  ["Q2: createAuthOfetch(tokens, null)", () => createAuthOfetch(tokens, null as never), "got null"],
  ["Q2: createAuthOfetch(tokens, { ofetch })", () => createAuthOfetch(tokens, { ofetch } as never), OFETCH_LINE],
  [
    "Q2: createAuthOfetch(tokens, { fetch })",
    () => createAuthOfetch(tokens, { fetch } as never),
    "createAuthOfetch(tokens, {}, { fetch })",
  ],
  [
    "Q2: createAuthOfetch(tokens, { inspectStatuses })",
    () => createAuthOfetch(tokens, { inspectStatuses: [403] } as never),
    "createAuthOfetch(tokens, {}, { inspectStatuses })",
  ],
  [
    "Q2: a $fetch of ofetch 1.3",
    () => createAuthOfetch(tokens, {}, { ofetch: ofetch13 as never }),
    "ofetch 1.4 or later",
  ],
  [
    "Q17: an option of createAuthFetch with a wrong name",
    () => createAuthFetch(tokens, { isRejcted: () => true } as never),
    'did you mean "isRejected"?',
  ],
  [
    "Q17: an option of createAuthOfetch with a wrong name",
    () => createAuthOfetch(tokens, {}, { fecth: fetch } as never),
    'did you mean "fetch"?',
  ],
  ["Q17: options that are a number", () => createAuthFetch(tokens, 5 as never), "createAuthFetch takes options"],
];

test.each(mistakes)("%s is a TypeError that says what to write", (_what, make, message) => {
  expect(make).toThrow(TypeError);
  expect(make).toThrow(message);
});

test("Q2: functions that return a cache are no mistake, also those with members of their own", () => {
  const source = Object.assign(() => tokens, { displayName: "by tenant" });
  expect([typeof createAuthFetch(source), typeof createAuthOfetch(source)]).toEqual(["function", "function"]);
});

test("Q17: options that are undefined count as not given", () => {
  expect(typeof createAuthFetch(tokens, { fetch: undefined, failedRenewal: undefined })).toBe("function");
  expect(typeof createAuthOfetch(tokens, undefined, { ofetch: undefined, fetch: undefined })).toBe("function");
});
