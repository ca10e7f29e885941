/** An authorization server whose clock is wrong: a little does not matter, much is named. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { Browser, signIn } from "../browser.ts";
import { openStage, userIn } from "./stage.ts";

const MINUTES = 60_000;

/** Signs in at a server whose clock is off by so many milliseconds. */
async function signInAt(shift: number): Promise<{ status: number; body: string; user: string | null }> {
  const child = fork(fileURLToPath(new URL("shifted-auth-server.ts", import.meta.url)), {
    execArgv: ["--import", "tsx"],
  });
  const clientSecret = "a-secret-that-both-sides-know";
  const stage = await openStage({
    app: { clientSecret },
    async issuer(origin) {
      child.send({ shift, origin, clientSecret });
      const [{ issuer }] = (await once(child, "message")) as [{ issuer: string }];
      return issuer;
    },
  });
  const browser = new Browser();
  const landed = await signIn(browser, stage.origin);
  const user = await userIn(browser, stage.origin);
  await stage.close();
  child.disconnect();
  await once(child, "exit");
  return { status: landed.response.status, body: landed.body, user };
}

describe("the clock of the authorization server is off", () => {
  test.each([20_000, -20_000])("by %i ms: the sign-in works", async (shift) => {
    expect(await signInAt(shift)).toMatchObject({ status: 200, user: "alice" });
  });

  test.each([10 * MINUTES, -10 * MINUTES])(
    "by %i ms: a page that names the clock, and nobody is signed in",
    async (shift) => {
      const { status, body, user } = await signInAt(shift);
      expect([status, user]).toEqual([400, null]);
      expect(body).toContain("The clocks do not agree");
    },
  );
});
