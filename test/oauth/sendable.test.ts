/** Credentials that no server can accept: refused before anything is sent, and not printed. */
import { inspect } from "node:util";
import { afterEach, describe, expect, test, vi } from "vitest";
import { clientCredentialsGrant, type Grant, jwtBearerGrant, refreshTokenGrant, tokenExchangeGrant } from "remint";
import { sendable } from "../../src/oauth/sendable.ts";
import { mintOnce } from "../grants/one-mint.ts";
import { json, startTokenServer } from "../grants/token-server.ts";

const fetch = vi.fn<() => Promise<Response>>();
const client = {
  tokenEndpoint: "https://auth.example/token",
  clientId: "portal",
  clientSecret: "s3cr3t",
  fetch,
} as const;

afterEach(() => {
  expect(fetch).not.toHaveBeenCalled();
  vi.restoreAllMocks();
});

const tokens: [option: string, build: (value: string | (() => string)) => Grant][] = [
  ["subjectToken", (value) => tokenExchangeGrant({ ...client, subjectToken: value })],
  ["actorToken", (value) => tokenExchangeGrant({ ...client, subjectToken: "subject-1", actorToken: value })],
  ["assertion", (value) => jwtBearerGrant({ ...client, assertion: value })],
  ["refreshToken", (value) => refreshTokenGrant({ ...client, refreshToken: value, onRotate: () => undefined })],
];
const impossible: [name: string, value: string][] = [
  ["a line end", "hush-hush\n"],
  ["XML", '<saml:Assertion ID="hush-hush">\n</saml:Assertion>'],
  ["a character that is not ASCII", "hush-hush-ü"],
  ["the byte 0x85, 5000 times", `hush-hush${"\x85".repeat(5000)}`],
  ["more than 1 MiB", `hush-hush${"a".repeat(2 ** 20)}`],
];

describe.each(tokens)("S5: the option %s", (option, build) => {
  test.each(impossible)("with %s: a TypeError that names it, and shows nothing of it", (_name, value) => {
    expect(() => build(value)).toThrow(TypeError);
    expect(() => build(value)).toThrow(`"${option}" must be`);
    expect(() => build(value)).not.toThrow(/hush/);
  });
});

describe.each(tokens.slice(0, 3))("S5: the function %s", (option, build) => {
  test.each(impossible)("returns %s: ERR_GRANT, and nothing is sent", async (_name, value) => {
    const error = await mintOnce(build(() => value)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: "ERR_GRANT", hint: expect.stringContaining(`"${option}"`) as unknown });
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("hush");
  });
});

describe("S5: the option clientSecret", () => {
  test.each(["s3cr3t\n", "s3\tcr3t", "s3cr3t\0", "s3cr3t\x85"])(
    "with a control character (%j): a TypeError",
    (secret) => {
      expect(() => clientCredentialsGrant({ ...client, clientSecret: secret })).toThrow(
        /"clientSecret" must be text without/,
      );
    },
  );

  test("with spaces and characters that are not ASCII: it is sent", async () => {
    const server = await startTokenServer((response) => json(response, 200, { access_token: "a" }));
    const clientSecret = "two words, žluť";
    await mintOnce(
      clientCredentialsGrant({
        tokenEndpoint: server.origin,
        clientId: "portal",
        clientSecret,
        clientAuthentication: "client_secret_post",
      }),
    );
    expect(server.first().form.get("client_secret")).toBe(clientSecret);
  });

  test("with three characters: a warning, once, that names the option and not the secret", () => {
    const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined);
    clientCredentialsGrant({ ...client, clientSecret: "xyz" });
    clientCredentialsGrant({ ...client, clientSecret: "xy" });
    expect(warn).toHaveBeenCalledOnce();
    expect(warn.mock.calls[0]?.[0]).toMatch(/^"clientSecret" has less than 4 characters/);
    expect(JSON.stringify(warn.mock.calls)).not.toContain("xyz");
  });
});

describe("a source of a credential", () => {
  const signal = new AbortController().signal;

  test("a string as it is, and what a function gives, with the context it is called with", async () => {
    expect(await sendable("clientSecret", "s3cr3t", "secret", signal)).toBe("s3cr3t");
    expect(await sendable("clientSecret", () => "s3cr3t", "secret", signal)).toBe("s3cr3t");
    expect(
      await sendable("subjectToken", async (a: number, b: number) => `token-${a}${b}`, "token", signal, 1, 2),
    ).toBe("token-12");
  });

  test.each([undefined, null, "", 7, {}, ["s3cret"]])(
    "a function that returns %j: an ERR_GRANT whose cause names the option and the kind of the value",
    async (value) => {
      const source = (() => value) as () => string;
      const error = await sendable("clientSecret", source, "secret", signal).catch((reason: unknown) => reason);
      expect(error).toMatchObject({ code: "ERR_GRANT", hint: expect.stringContaining('"clientSecret"') as unknown });
      expect((error as Error).cause).toMatchObject({
        name: "TypeError",
        message: expect.stringMatching(
          /^"clientSecret" must be a non-empty string, or a function that returns one, got (undefined|null|an? [a-z ]+)$/,
        ) as unknown,
      });
      expect(inspect(error, { depth: 10, showHidden: true })).not.toContain("s3cret");
    },
  );
});
