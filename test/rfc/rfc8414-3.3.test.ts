/**
 * RFC 8414 section 3.3: validation of authorization server metadata. That a failed lookup is made again is this package's
 * rule and not the RFC's.
 */
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { mintOnce } from "../grants/one-mint.ts";

const client = { clientId: "orders", clientSecret: "s3cr3t" };
interface ScriptedServer {
  readonly fetch: (url: string) => Promise<Response>;
  readonly asked: string[];
}

/** Answers each metadata lookup with the next answer, then always with the last one. Every other URL is a token endpoint. */
function scriptedServer(...answers: readonly (() => Response)[]): ScriptedServer {
  const asked: string[] = [];
  let lookups = 0;
  return {
    asked,
    async fetch(url) {
      asked.push(url);
      if (!url.includes("/.well-known/")) return Response.json({ access_token: "a", token_type: "Bearer" });
      return (answers[Math.min(lookups++, answers.length - 1)] ?? expect.fail())();
    },
  };
}

const metadataOf = (issuer: unknown) => (): Response =>
  Response.json({ issuer, token_endpoint: "https://auth.example/token" });

describe("section 3.3: the issuer of the metadata is the requested one", () => {
  test.each([
    ["https://auth.example", "https://auth.example/"],
    ["https://auth.example/", "https://auth.example"],
    ["https://auth.example", "https://AUTH.example"],
    ["https://auth.example", "https://auth.example:443"],
    ["https://auth.example/a", "https://auth.example/b"],
    ["https://auth.example/%7Ea", "https://auth.example/~a"],
    ["https://auth.example", "https://attacker.example"],
  ])(
    "%s is requested and the metadata is of %s: refused, and no request goes to its endpoints",
    async (issuer, other) => {
      const { fetch, asked } = scriptedServer(metadataOf(other));
      const minted = mintOnce(clientCredentialsGrant({ issuer, ...client, fetch }));
      await expect(minted).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      await expect(minted).rejects.toMatchObject({
        hint: expect.stringContaining(`is the metadata of another issuer, "${other}"`) as unknown,
      });
      expect(asked.filter((url) => !url.includes("/.well-known/"))).toEqual([]);
    },
  );

  test.each([undefined, null, 5, "", "no url", ["https://auth.example"]])(
    "metadata with the issuer %j is refused",
    async (other) => {
      const { fetch, asked } = scriptedServer(metadataOf(other));
      const minted = mintOnce(clientCredentialsGrant({ issuer: "https://auth.example", ...client, fetch }));
      await expect(minted).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      expect(asked).toHaveLength(2);
    },
  );

  test.each(["https://auth.example", "https://auth.example/", "https://auth.example/a/", "https://AUTH.example"])(
    "%s is requested and the metadata has the same issuer: accepted",
    async (issuer) => {
      const { fetch } = scriptedServer(metadataOf(issuer));
      const minted = mintOnce(clientCredentialsGrant({ issuer, ...client, fetch }));
      await expect(minted).resolves.toMatchObject({ access_token: "a" });
    },
  );
});

test("the first mint finds another issuer's metadata and fails; the second finds the right one and succeeds", async () => {
  const issuer = "https://auth.example";
  const other = metadataOf("https://attacker.example");
  const { fetch, asked } = scriptedServer(other, other, metadataOf(issuer));
  const grant = clientCredentialsGrant({ issuer, ...client, fetch });
  await expect(mintOnce(grant)).rejects.toMatchObject({
    hint: expect.stringMatching(/another issuer/) as unknown,
  });
  await expect(mintOnce(grant)).resolves.toMatchObject({ access_token: "a" });
  // Two documents, then one, and the token endpoint.
  expect(asked).toHaveLength(4);
});

const down = (): Response => new Response(null, { status: 503 });

test("C11: a lookup that fails for a moment is retried within one mint", async () => {
  const issuer = "https://auth.example";
  const { fetch } = scriptedServer(down, down, metadataOf(issuer));
  const grant = clientCredentialsGrant({ issuer, ...client, fetch });
  const tokens = createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 1 });
  expect((await tokens.get()).value).toBe("a");
});
