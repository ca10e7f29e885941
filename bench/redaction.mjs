// A secret of 1 MiB and a text of 1 MiB that repeats it, as a failed fetch may quote a request: how long it takes to remove
// the one from the other, in time of the processor. The time must not depend on what they consist of.
import { redactor } from "../dist/oauth/redaction.js";
import { quartiles } from "./measure.mjs";

export const title = "A text of 1 MiB without a secret of 1 MiB";

const MIB = 1024 * 1024;
const BUDGET = 50;
const ROUNDS = 9;

const CONTENTS = {
  base64: () => Buffer.from(Array.from({ length: MIB }, (_, at) => (at * at * 31) % 251)).toString("base64"),
  "one character": () => "~".repeat(MIB),
  "percent-encoded": () => "%C2%85".repeat(MIB / 6 + 1),
};

export async function run(progress) {
  const budgets = [];
  for (const [name, make] of Object.entries(CONTENTS)) {
    const secret = make().slice(0, MIB);
    const text = `refused: ${secret}`.slice(0, MIB);
    const times = [];
    for (let round = 0; round < ROUNDS; round++) {
      progress(round, ROUNDS);
      const start = process.cpuUsage();
      redactor([secret])(text);
      const { user, system } = process.cpuUsage(start);
      times.push((user + system) / 1000);
    }
    progress(ROUNDS, ROUNDS);
    const measured = quartiles(times);
    budgets.push({ what: name, measured, value: measured.median, limit: BUDGET, unit: "ms", digits: 1 });
  }
  return { budgets };
}
