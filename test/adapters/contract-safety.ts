/** Q11, S5: no error and no response prints a token or a secret. */
import { inspect } from "node:util";
import { expect } from "vitest";
import { isRemintError, type RemintError } from "remint";
import { type Answer, manualClock } from "remint/testing";
import { printed as printedForms } from "../matrix/describe.ts";
import type { Reply } from "./clients.ts";
import { type Case, CLIENT_ID, CLIENT_SECRET, failureOf, type World } from "./world.ts";

/** Returns every form in which a log may print an error or a response. */
export function printed(value: unknown): string {
  return printedForms(value, (part) => inspect(part, { depth: 10 }));
}

function expectNoSecret({ auth }: World, value: unknown): void {
  const text = printed(value);
  expect(text.length).toBeGreaterThan(20);
  const secrets = [CLIENT_SECRET, encodeURIComponent(CLIENT_SECRET), btoa(`${CLIENT_ID}:${CLIENT_SECRET}`)];
  for (const secret of [...auth.issued, ...secrets]) expect(text.includes(secret)).toBe(false);
}

export const safetyCases: readonly Case[] = [
  ...[401, 403, 500].flatMap((status) =>
    [false, true].map((stream) => ({
      name: `Q11: the result of a ${status}${stream ? " taken as a stream" : ""} prints no token`,
      async run(world: World) {
        const { call } = await world.warm();
        world.api.respondAlways({ status, body: "no" });
        const reply: Reply = await call(`${world.api.origin}/x`, {
          stream,
          ...world.client.json({ a: 1 }),
          method: "POST",
        });
        expect([reply.status, world.sends().every((token) => token !== undefined)]).toEqual([status, true]);
        expectNoSecret(world, reply.error ?? reply.response);
      },
    })),
  ),
  ...[
    { what: "a connection that is reset", answer: (): Answer => ({ reset: true }) },
    { what: "a body that breaks off", answer: (): Answer => ({ headers: { "content-length": "10" }, body: broken() }) },
  ].map(({ what, answer }) => ({
    name: `Q11: the error of ${what} prints no token`,
    async run(world: World) {
      const { call } = await world.warm();
      world.api.respondAlways(answer);
      // axios' error for a body that breaks off has a `response`, so the client adapter returns it as a reply.
      const failure = await call(`${world.api.origin}/x`).then(({ error }) => error, Object);
      expect([failure instanceof Error, world.sends().length > 0]).toEqual([true, true]);
      expectNoSecret(world, failure);
    },
  })),
  {
    name: "Q11: the error of a resend that is reset prints neither the old nor the new token",
    warmOnly: "the case revokes the token, and counts sends",
    async run(world) {
      const { call } = await world.warm();
      world.auth.revokeAll();
      world.api.respond(() => undefined, { reset: true }, { reset: true });
      const failure = await failureOf(call(`${world.api.origin}/x`, { own: world.client.once }));
      expect(world.sends()).toEqual(world.auth.issued);
      expectNoSecret(world, failure);
    },
  },
  {
    name: "Q11: the error of an abort during the request prints no token",
    async run(world) {
      const { call } = await world.warm();
      const release = world.api.holdAnswers();
      const controller = new AbortController();
      const gone = failureOf(call(`${world.api.origin}/x`, { signal: controller.signal }));
      await world.api.waitFor(1);
      controller.abort();
      expectNoSecret(world, await gone);
      release();
    },
  },
  ...[500, 400].flatMap((status) =>
    ["before any request", "after a 401"].map((when) => ({
      name: `S5: the error of a token endpoint's ${status}, ${when}, prints no secret, though the answer repeats it`,
      async run(world: World) {
        const tokens = world.tokens({ clock: manualClock(), mintRetries: 0 });
        if (when !== "before any request") await tokens.get();
        world.auth.revokeAll();
        world.auth.respondAlways(({ headers, body }) => ({
          status,
          body: {
            error: "invalid_client",
            error_description: `not ${CLIENT_SECRET}: ${headers.authorization} ${body}`,
          },
        }));
        const call = world.connect(tokens);
        const failure = await failureOf(call(`${world.api.origin}/x`));
        expect([isRemintError(failure), (failure as RemintError).code]).toEqual([true, "ERR_TOKEN_ENDPOINT"]);
        expectNoSecret(world, failure);
        expectNoSecret(world, world.events);
      },
    })),
  ),
  {
    name: "S4, S5: a token that cannot stand in a header is refused and not printed",
    async run(world) {
      const evil = "evil-token\r\nx-injected: 1";
      world.auth.respondAlways({ body: { access_token: evil, token_type: "Bearer", expires_in: 60 } });
      const failure = await failureOf(world.connect(world.tokens({ clock: manualClock() }))(`${world.api.origin}/x`));
      expect([isRemintError(failure), (failure as RemintError).code]).toEqual([true, "ERR_TOKEN_RESPONSE"]);
      expect(printed(failure)).not.toContain("evil-token");
      expect(world.api.requests).toEqual([]);
    },
  },
];

async function* broken(): AsyncGenerator<string> {
  yield "half";
  throw new Error("the body breaks off");
}
