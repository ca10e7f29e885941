/** Q4: which answers reject a token. */
import { expect } from "vitest";
import type { JudgedAnswer } from "remint";
import { type Case, warmOnly, type World } from "./world.ts";

export const judgementCases: readonly Case[] = [
  ...warmOnly("the API of the case answers 401 once, and its sends are counted", challengeCases()),
  {
    name: "Q4: isRejected decides about the statuses in inspectStatuses, and the caller can still read the body",
    warmOnly: "the case counts sends and mints",
    async run(world) {
      const rules = {
        inspectStatuses: [403],
        isRejected: async (answer: JudgedAnswer) =>
          answer.status === 403 ? (await answer.text(1024)).includes("SESSION_EXPIRED") : undefined,
      };
      const { call } = await world.warm({}, rules);
      world.api.respond({ status: 403, body: "SESSION_EXPIRED" });
      expect((await call(`${world.api.origin}/expired`)).status).toBe(200);
      expect([world.sends("/expired"), world.auth.mints]).toEqual([world.auth.issued, 2]);
      world.api.respond({ status: 403, body: "not yours" });
      const { status, text } = await call(`${world.api.origin}/forbidden`);
      expect([status, text, world.auth.mints]).toEqual([403, "not yours", 2]);
    },
  },
  {
    name: "Q4: a 401 is renewed too when the client is set not to throw on any status",
    warmOnly: "the case revokes the token, and counts sends",
    clients: ["ofetch", "axios/http", "axios/fetch"], // fetch never throws on a status.
    async run(world) {
      const { call } = await world.warm();
      world.auth.revokeAll();
      const own = world.client.permissive;
      const good = await call(`${world.api.origin}/x`, { own });
      expect([good.status, good.error, world.sends("/x").length]).toEqual([200, undefined, 2]);
      world.api.respondAlways({ status: 401, body: "no" });
      const bad = await call(`${world.api.origin}/y`, { own });
      expect([bad.status, bad.text, bad.error]).toEqual([401, "no", undefined]);
    },
  },
];

function challengeCases(): Case[] {
  const challenges: [title: string, header: string | string[] | undefined, renews: boolean][] = [
    ["no challenge at all", undefined, true],
    ["Bearer", "Bearer", true],
    ["invalid_token", 'Bearer realm="x", error="invalid_token", error_description="expired"', true],
    ["an error in other upper and lower case", "bEARER Error=invalid_token", true],
    ["Basic", 'Basic realm="gateway"', true],
    ["garbage", '=,,"\\', true],
    ["insufficient_scope", 'Bearer error="insufficient_scope", scope="orders:write"', false],
    ["insufficient_user_authentication", 'Bearer error="insufficient_user_authentication", max_age=5', false],
    ["insufficient_scope behind Basic", 'Basic realm="a, b", Bearer error="insufficient_scope"', false],
    ["insufficient_scope in a second line", ['Basic realm="a"', 'Bearer error="insufficient_scope"'], false],
    ["two Bearers that disagree", 'Bearer error="insufficient_scope", Bearer error="invalid_token"', true],
    ["insufficient_scope in another parameter", 'Basic realm="insufficient_scope"', true],
  ];
  return challenges.map(([title, header, renews]) => ({
    name: `Q4: a 401 with ${title} ${renews ? "renews the token" : "keeps the token and goes to the caller"}`,
    run: (world) => expectChallenge(world, header, renews),
  }));
}

async function expectChallenge(world: World, header: string | string[] | undefined, renews: boolean): Promise<void> {
  const { tokens, call } = await world.warm();
  world.api.respond({ status: 401, headers: { "www-authenticate": header }, body: "challenged" });
  const { status, text } = await call(`${world.api.origin}/x`);
  if (renews) {
    expect([status, world.sends()]).toEqual([200, world.auth.issued]);
    expect(world.auth.mints).toBe(2);
  } else {
    expect([status, text, world.sends()]).toEqual([401, "challenged", world.auth.issued]);
    expect([world.auth.mints, tokens.peek()?.value]).toEqual([1, world.auth.issued[0]]);
  }
}
