/** A run of one row in Node, Bun or Deno: `<runtime> entry-node.mjs <row> <origins as JSON>`. Prints a result a line. */
import { runRow } from "./matrix.ts";
import { nodeGround } from "./node-ground.ts";
import type { Ground } from "./run.ts";

// Written out at once, because a process may end before a pipe is empty.
const lines: string[] = [];
const [row = "", servers = "{}"] = process.argv.slice(2);
// A client that fails outside of the call that it belongs to, such as an error of a stream that nobody listens to.
for (const event of ["uncaughtException", "unhandledRejection"]) {
  process.on(event, (error: unknown) => {
    console.log(
      JSON.stringify({
        name: `nothing of a client ends the process (${event})`,
        faults: [String((error as Error)?.stack ?? error)],
      }),
    );
  });
}
const unfit = await runRow(nodeGround(JSON.parse(servers) as Ground["servers"]), row, (result) => {
  lines.push(JSON.stringify(result));
  if (lines.length >= 20) console.log(lines.splice(0).join("\n"));
});
console.log([...lines, JSON.stringify({ end: true, unfit })].join("\n"));
process.exit(0);
