import OpenAI from "openai";
import { createAuthFetch } from "remint/fetch";
import { describe, expect, test } from "vitest";
import { createClient } from "../openai.ts";
import {
  carriesTokens,
  leavesRefusalsAlone,
  rejectionOf,
  type Stage,
  startStage,
  waitsAsLongAsAsked,
} from "./stage.ts";

const COMPLETION = {
  id: "1",
  object: "chat.completion",
  created: 1,
  model: "small",
  choices: [{ index: 0, finish_reason: "stop", message: { role: "assistant", content: "Hello." } }],
};

function answering({ auth, api, tokens }: Stage, source = () => tokens): OpenAI {
  api.respondAlways(({ token }) => (auth.isLive(token ?? "") ? { body: COMPLETION } : undefined));
  return createClient(source, api.origin);
}

/** An event of a completion that is streamed. */
const chunk = (content: string) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;

async function ask(client: OpenAI): Promise<unknown> {
  const { choices } = await client.chat.completions.create({
    model: "small",
    messages: [{ role: "user", content: "Hello?" }],
  });
  return choices[0]?.message.content;
}

describe("the OpenAI SDK", () => {
  carriesTokens((stage) => {
    const client = answering(stage);
    return async () => expect(await ask(client)).toBe("Hello.");
  });

  test("a stream of events is sent again after a 401, and read to its end", async () => {
    const stage = await startStage();
    const client = answering(stage);
    await ask(client);
    stage.auth.revokeAll();
    stage.api.respondAlways(({ token }) =>
      stage.auth.isLive(token ?? "")
        ? { headers: { "content-type": "text/event-stream" }, body: `${chunk("Hel")}${chunk("lo.")}data: [DONE]\n\n` }
        : undefined,
    );
    const stream = await client.chat.completions.create({ model: "small", messages: [], stream: true });
    let text = "";
    for await (const { choices } of stream) text += choices[0]?.delta.content ?? "";
    expect([text, stage.auth.mints]).toEqual(["Hello.", 2]);
  });

  // The caller gets an error of the SDK, as for any other answer.
  leavesRefusalsAlone((stage, source) => () => ask(answering(stage, source)), { status: 503 });

  // The SDK's own first pause is half a second.
  waitsAsLongAsAsked((stage) => () => ask(answering(stage).withOptions({ maxRetries: 1 })));

  test("the usual lines send the SDK's key and not the token, although an auth fetch is given", async () => {
    const { auth, api, tokens } = await startStage();
    const usual = new OpenAI({ baseURL: api.origin, apiKey: "sk-1", fetch: createAuthFetch(tokens) });
    expect(await rejectionOf(ask(usual))).toMatchObject({ status: 401 });
    expect([api.requests.map(({ token }) => token), auth.mints]).toEqual([["sk-1"], 0]);
  });
});
