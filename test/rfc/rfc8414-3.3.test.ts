/**
 * RFC 8414 section 3.3: Authorization Server Metadata Validation. That a failed lookup is made again (T38's second half) is
 * this package's rule, not the RFC's.
 */
import { definitionOf } from "../../src/core/grant.ts";
import { describe, expect, test } from "vitest";
import { clientCredentialsGrant, createTokenCache } from "remint";

const client = { clientId: "orders", clientSecret: "s3cr3t" };
const signal = new AbortController().signal;

interface World {
  readonly fetch: (url: string) => Promise<Response>;
  readonly asked: string[];
}

/** Answers to every lookup, in order, the last one for ever; everything else is a token endpoint. */
function world(...answers: readonly (() => Response)[]): World {
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

describe("T38: the issuer of the metadata is the one that was asked for", () => {
  test.each([
    ["https://auth.example", "https://auth.example/"],
    ["https://auth.example/", "https://auth.example"],
    ["https://auth.example", "https://AUTH.example"],
    ["https://auth.example", "https://auth.example:443"],
    ["https://auth.example/a", "https://auth.example/b"],
    ["https://auth.example/%7Ea", "https://auth.example/~a"],
    ["https://auth.example", "https://attacker.example"],
  ])("%s is not %s: nothing is sent to the endpoints of the latter", async (issuer, other) => {
    const { fetch, asked } = world(metadataOf(other));
    const minted = definitionOf(clientCredentialsGrant({ issuer, ...client, fetch })).mint({ signal });
    await expect(minted).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
    await expect(minted).rejects.toThrow(`is the metadata of another issuer, "${other}"`);
    expect(asked.filter((url) => !url.includes("/.well-known/"))).toEqual([]);
  });

  test.each([undefined, null, 5, "", "no url", ["https://auth.example"]])(
    "metadata with %j as issuer is none",
    async (other) => {
      const { fetch, asked } = world(metadataOf(other));
      const minted = definitionOf(clientCredentialsGrant({ issuer: "https://auth.example", ...client, fetch })).mint({
        signal,
      });
      await expect(minted).rejects.toMatchObject({ code: "ERR_TOKEN_RESPONSE", retryable: false });
      expect(asked).toHaveLength(2);
    },
  );

  test.each(["https://auth.example", "https://auth.example/", "https://auth.example/a/", "https://AUTH.example"])(
    "%s is %s",
    async (issuer) => {
      const { fetch } = world(metadataOf(issuer));
      const minted = definitionOf(clientCredentialsGrant({ issuer, ...client, fetch })).mint({ signal });
      await expect(minted).resolves.toMatchObject({ access_token: "a" });
    },
  );
});

test("T38: a failed lookup is not sticky: another issuer's metadata today, the right one tomorrow", async () => {
  const issuer = "https://auth.example";
  const { fetch, asked } = world(metadataOf("https://attacker.example"), metadataOf(issuer));
  const grant = clientCredentialsGrant({ issuer, ...client, fetch });
  await expect(definitionOf(grant).mint({ signal })).rejects.toThrow(/another issuer/);
  await expect(definitionOf(grant).mint({ signal })).resolves.toMatchObject({ access_token: "a" });
  expect(asked).toHaveLength(3);
});

const down = (): Response => new Response(null, { status: 503 });

test("T38: a lookup that fails for a moment is retried within one mint, as C11 says", async () => {
  const issuer = "https://auth.example";
  const { fetch } = world(down, down, metadataOf(issuer));
  const grant = clientCredentialsGrant({ issuer, ...client, fetch });
  const tokens = createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 1 });
  expect((await tokens.get()).value).toBe("a");
});
