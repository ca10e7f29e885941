/**
 * Runs cases.ts, cases-answers.ts, cases-bodies.ts and cases-secrets.ts with all supported versions of axios, and with all copies of axios the interceptor
 * may use.
 */
import { createAuthInterceptor } from "remint/axios";
import { describe, test } from "vitest";
import { adaptersOf, type Copy, copies, type AdapterChoice } from "./copies.ts";
import { answerCases } from "./cases-answers.ts";
import { bodyCases } from "./cases-bodies.ts";
import { secretCases } from "./cases-secrets.ts";
import { type Case, cases } from "./cases.ts";
import { Stage } from "./stage.ts";

for (const copy of copies) {
  describe(`axios ${copy.name}`, () => {
    for (const adapter of adaptersOf(copy)) {
      describe(`adapter ${adapter.name}`, () => {
        for (const entry of casesFor(adapter))
          test(entry.name, { timeout: 10_000 }, () => runCase(copy, adapter, entry));
      });
    }
  });
}

function casesFor({ name, essential }: AdapterChoice): Case[] {
  return [...cases, ...answerCases, ...bodyCases, ...secretCases].filter(
    (entry) => (entry.adapters?.includes(name) ?? true) && (!essential || entry.essential),
  );
}

async function runCase(copy: Copy, adapter: AdapterChoice, { run }: Case): Promise<void> {
  await using stage = await Stage.open();
  const client = copy.axios.create(adapter.config as object);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, copy.options));
  // An adapter given by its name is that of the interceptor's copy, and so are its errors.
  const bare = copy.ours.create(adapter.config as object);
  const alone = copy.axios.create(adapter.config as object);
  await run({ stage, client, bare, alone, axios: copy.axios, ours: copy.ours, fetches: adapter.name === "fetch" });
}
