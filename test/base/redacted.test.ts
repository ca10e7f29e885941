/** Objects that print as `[redacted]`. What they are is tested where they are made; the matrix runs in Deno itself. */
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { redacted } from "../../src/base/redacted.ts";

test("S5: a redacted Request prints without its headers: in Node, in Deno, which has a method of its own, and as JSON", () => {
  const request = new Request("https://api.example", { headers: { authorization: "Bearer s3cret" } });
  expect(inspect(request)).toContain("s3cret");
  const members = redacted(request, "Request") as unknown as Record<symbol, () => string>;
  const printed = [inspect({ request }), members[Symbol.for("Deno.customInspect")]!(), JSON.stringify({ request })];
  expect(printed).toEqual(["{ request: Request [redacted] }", "Request [redacted]", '{"request":"[redacted]"}']);
});
