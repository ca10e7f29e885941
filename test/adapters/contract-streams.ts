/** Q7: a discarded 401 frees its connection before the mint, which may need the same connection. */
import { expect } from "vitest";
import { clientCredentialsGrant, type TokenCache } from "remint";
import type { Api } from "remint/testing";
import { type OneConnection, oneConnection } from "./one-connection.ts";
import { type Case, CLIENT_ID, CLIENT_SECRET, times, type World } from "./world.ts";

const BIG = Buffer.alloc(2 * 1024 * 1024, "x");

export const streamCases: readonly Case[] = [
  ...[
    { size: "2 MB", body: BIG },
    { size: "small", body: Buffer.from("no") },
  ].map(({ size, body }) => ({
    name: `Q7: with one connection for API and token endpoint, a ${size} 401 taken as a stream is renewed and resent`,
    async run(world: World) {
      const { server, tokens, through, paths } = await oneServer(world, body);
      const call = world.connect(tokens, { through });
      expect((await call(`${server.origin}/before`, { stream: true })).status).toBe(200);
      server.respond({ status: 401, body });
      const { status, text } = await call(`${server.origin}/x?big`, { stream: true });
      expect([status, text]).toEqual([200, '{"ok":true,"path":"/x"}']);
      expect(paths()).toEqual(["/token", "/before", "/x?big", "/token", "/x?big"]);
    },
  })),
  {
    name: "Q7: ten requests through one connection are all renewed, with one mint",
    async run(world) {
      const { server, tokens, through, paths, revoke } = await oneServer(world, BIG);
      const call = world.connect(tokens, { through });
      await tokens.get();
      revoke();
      const replies = await Promise.all(times(10, (index) => call(`${server.origin}/${index}`, { stream: true })));
      expect(replies.map(({ status }) => status)).toEqual(times(10, () => 200));
      expect(paths().filter((path) => path === "/token").length).toBe(2);
    },
  },
  {
    name: "Q7: a 2 MB 401 that goes to the caller arrives whole",
    async run(world) {
      const { server, tokens, through } = await oneServer(world, BIG);
      const call = world.connect(tokens, { through });
      server.respond(
        { body: { access_token: "t1", token_type: "Bearer", expires_in: 3600 } },
        { status: 401, headers: { "www-authenticate": 'Bearer error="insufficient_scope"' }, body: BIG },
      );
      const { status, text } = await call(`${server.origin}/x`, { stream: true });
      expect([status, text.length]).toEqual([401, BIG.length]);
    },
  },
];

/** Starts one server that is both API and token endpoint, so that both share a connection. */
async function oneServer(
  world: World,
  refusal: Buffer,
): Promise<{ server: Api; tokens: TokenCache; through: OneConnection; paths: () => string[]; revoke: () => void }> {
  const through = oneConnection(world.client.undici);
  world.atEnd(() => through.close());
  let mints = 0;
  let live = "";
  const server = await world.anotherApi({ accepts: () => true });
  server.respondAlways(({ url, token }) => {
    if (url === "/token")
      return { body: { access_token: (live = `t-${++mints}`), token_type: "Bearer", expires_in: 3600 } };
    return token === live ? undefined : { status: 401, body: refusal };
  });
  const grant = clientCredentialsGrant({
    tokenEndpoint: `${server.origin}/token`,
    clientId: CLIENT_ID,
    clientSecret: CLIENT_SECRET,
    fetch: world.client.name === "axios/http" ? through.fetchOverAgent : through.fetch,
  });
  return {
    server,
    through,
    tokens: world.tokens({ grant, origins: [server.origin] }),
    paths: () => server.requests.map(({ url }) => url),
    revoke: () => void (live = ""),
  };
}
