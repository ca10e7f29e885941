/** The arguments of createAuthInterceptor, and its errors for wrong ones. */
import axios from "axios";
import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { fakeGrant } from "remint/testing";
import { describe, expect, test } from "vitest";
import { Stage } from "./stage.ts";

describe("options", () => {
  const tokens = createTokenCache({ grant: fakeGrant(), origins: ["https://api.example"] });
  const wrong: [title: string, make: () => unknown, message: RegExp][] = [
    ["no source", () => createAuthInterceptor(undefined as never), /createAuthInterceptor.*undefined/s],
    ["an empty array", () => createAuthInterceptor([]), /createAuthInterceptor.*an empty array/s],
    ["a source that is no cache", () => createAuthInterceptor({} as never), /createAuthInterceptor.*an object/s],
    ["null for options", () => createAuthInterceptor(tokens, null as never), /createAuthInterceptor options/],
    [
      "a number for isRejected",
      () => createAuthInterceptor(tokens, { isRejected: 401 as never }),
      /"isRejected".*a function/,
    ],
    [
      "an axios instance for axios",
      () => createAuthInterceptor(tokens, { axios: axios.create() }),
      /"axios".*axios\.create\(\)/,
    ],
    ["an empty object for axios", () => createAuthInterceptor(tokens, { axios: {} }), /"axios".*1\.5/],
    ["null for axios", () => createAuthInterceptor(tokens, { axios: null as never }), /"axios".*null/],
    [
      "a number for inspectStatuses",
      () => createAuthInterceptor(tokens, { inspectStatuses: 403 as never }),
      /"inspectStatuses"/,
    ],
  ];
  test.each(wrong)("%s is a TypeError that says what is expected, at construction", (_title, make, message) => {
    expect(make).toThrow(TypeError);
    expect(make).toThrow(message);
  });

  test("`axios` may be the module, its namespace, or undefined", async () => {
    // A namespace has the named exports, and `defaults` only on its default export.
    const namespace = { default: axios, getAdapter: axios.getAdapter, AxiosHeaders: axios.AxiosHeaders };
    for (const given of [axios, namespace, undefined]) {
      await using stage = await Stage.open();
      const client = axios.create();
      client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: given }));
      // Without an adapter in the config, the default adapter of the module counts.
      client.interceptors.request.use((config) => Object.assign(config, { adapter: undefined }));
      expect((await client.get(stage.url)).status).toBe(200);
    }
  });
});
