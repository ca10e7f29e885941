/** The packed package in a CommonJS project that is tested with Jest. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { blockWith } from "../house/markdown.ts";
import { node } from "./command.ts";

const { withClients } = inject("consumers");

/** A Jest test as a CommonJS user writes it: with `require`, their own copy of axios, and no flag of Node.js. */
const SUITE = `
const axios = require("axios");
const { clientCredentialsGrant, createTokenCache } = require("remint");
const { createAuthInterceptor } = require("remint/axios");
const { createAuthFetch } = require("remint/fetch");
const { createAuthOfetch } = require("remint/ofetch");
const { withToken } = require("remint/policy");
const { startApi, startAuthServer } = require("remint/testing");

test("a revoked token is replaced, whichever client notices", async () => {
  const auth = await startAuthServer();
  const api = await startApi({ accepts: auth });
  const grant = clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "a", clientSecret: "b" });
  const tokens = createTokenCache({ grant, origins: [api.origin] });
  const client = axios.create({ baseURL: api.origin });
  client.interceptors.request.use(createAuthInterceptor(tokens));
  const calls = [
    () => client.get("/a").then(({ data }) => data),
    () => createAuthFetch(tokens)(api.origin + "/a").then((answer) => answer.json()),
    () => createAuthOfetch(tokens, { baseURL: api.origin })("/a"),
  ];
  for (const call of calls) {
    expect(await call()).toEqual({ ok: true, path: "/a" });
    auth.revokeAll();
  }
  expect(auth.mints).toBe(3);
  expect(typeof withToken).toBe("function");
  await Promise.all([auth.close(), api.close()]);
});
`;

test("a CommonJS project with the Jest configuration of docs/testing.md: the tests pass", async () => {
  const { code } = blockWith("docs/testing.md", "js", "transformIgnorePatterns");
  const folder = await project("configured", code);
  const { status, output } = await jest(folder);
  expect(output).toContain("1 passed, 1 total");
  expect(status).toBe(0);
});

// From Node.js 24.9 on, Jest can require ES modules without that configuration.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
test.skipIf(major > 24 || (major === 24 && minor >= 9))(
  "a CommonJS project without that Jest configuration: the tests fail",
  async () => {
    const { status, output } = await jest(await project("plain", "module.exports = {};"));
    expect(output).toContain("Must use import to load ES Module");
    expect(status).not.toBe(0);
  },
);

async function project(name: string, config: string): Promise<string> {
  const folder = join(withClients, "jest", name);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "package.json"), JSON.stringify({ private: true, type: "commonjs" }));
  await writeFile(join(folder, "jest.config.cjs"), config);
  await writeFile(join(folder, "tokens.test.js"), SUITE);
  return folder;
}

function jest(folder: string): ReturnType<typeof node> {
  return node([join(withClients, "node_modules/jest/bin/jest.js"), "--ci", "--no-cache"], folder);
}
