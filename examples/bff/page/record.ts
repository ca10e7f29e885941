/**
 * Records the run that the signed-out page plays: `npx tsx --tsconfig tsconfig.json examples/bff/page/record.ts
 * http://localhost:3000`, while the demo runs there. It signs in, presses two buttons, and writes recording.json, one
 * message a line. Nothing in it is made up: a message that a page would not show is left out, the others stay as they came.
 */
import { writeFile } from "node:fs/promises";
import { setTimeout as pause } from "node:timers/promises";
import { Browser, signIn } from "../browser.ts";
import type { Action, Hello, Message, Recorded } from "./messages.ts";

/** What is pressed, and after how many milliseconds. */
const SCRIPT: readonly (readonly [after: number, action: Action, name: string])[] = [
  [5000, "burst", "50 requests at once"],
  [7000, "revoke-burst", "Revoke + 6 requests"],
];
/** Milliseconds from the last button to the end. */
const AFTERWARDS = 13_000;

const [origin = "http://localhost:3000"] = process.argv.slice(2);
const headers = { "x-bff": "1" };
const browser = new Browser();
const messages: Recorded[] = [];

await signIn(browser, origin);
const over = new AbortController();
const feed = await browser.request(`${origin}/demo/events`, { headers, signal: over.signal });
if (!feed.ok || feed.body === null) throw new Error(`${origin}/demo/events answered ${feed.status}`);
const listening = listen(feed.body);
for (const [after, action, name] of SCRIPT) {
  await pause(after);
  messages.push({ type: "pressed", at: Date.now(), name });
  const answer = await browser.request(`${origin}/demo/actions/${action}`, { method: "POST", headers });
  if (!answer.ok) throw new Error(`the button "${action}" was answered with ${answer.status}`);
}
await pause(AFTERWARDS);
over.abort();
await listening;

const lines = messages.map((message) => JSON.stringify(message));
await writeFile(new URL("recording.json", import.meta.url), `{"messages":[\n${lines.join(",\n")}\n]}\n`);
console.log(`${messages.length} messages`);

async function listen(body: ReadableStream<Uint8Array>): Promise<void> {
  const decoder = new TextDecoder();
  let text = "";
  try {
    for await (const chunk of body) {
      const events = (text + decoder.decode(chunk, { stream: true })).split("\n\n");
      text = events.pop() ?? "";
      for (const event of events) {
        const data = /^data: (.*)$/m.exec(event)?.[1];
        if (data !== undefined) take(JSON.parse(data) as Message);
      }
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  }
}

function take(message: Message): void {
  if (message.type === "hello") messages.push(...signedIn(message));
  else if ("lane" in message) messages.push(message);
}

/** The player begins with nothing, so it is told who is signed in as if that happened at the beginning. */
function signedIn({ now, lanes }: Hello): Recorded[] {
  const names = ["usual", "remint"] as const;
  return names.filter((lane) => lanes[lane].signedIn).map((lane) => ({ type: "signed-in", lane, at: now }));
}
