import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const core = new URL("../../src/index.ts", import.meta.url).href;
const types = new URL("../../src/core/types.ts", import.meta.url).href;
const policy = new URL("../../src/policy/request-policy.ts", import.meta.url).href;

interface ProcessResult {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a module in a process of its own, so that only the code under test can keep the process alive. */
function run(body: string): Promise<ProcessResult> {
  const program = `
    import { createTokenCache, createTokenPool, customGrant } from ${JSON.stringify(core)};
    import { policyHalf } from ${JSON.stringify(types)};
    import { withToken } from ${JSON.stringify(policy)};
    process.on("unhandledRejection", (reason) => { console.log("unhandled", reason); process.exitCode = 9; });
    const origins = ["https://api.example"];
    const never = () => new Promise(() => {});
    const say = (text) => console.log(text);
    ${body}
  `;
  const root = fileURLToPath(new URL("../..", import.meta.url));
  const args = ["--import", "tsx", "--input-type=module", "--eval", program];
  const child = spawn(process.execPath, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  child.stdout.on("data", (chunk) => (output += String(chunk)));
  child.stderr.on("data", (chunk) => (output += String(chunk)));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output: output.trim() }));
  });
}

describe("C12: in a process of its own", () => {
  test("C12: no unhandled rejection when mints fail, callers abort, or results are not awaited", async () => {
    const { code, output } = await run(`
      const failing = { mint: async () => { throw new Error("down"); } };
      const cache = createTokenCache({ grant: failing, origins, mintRetries: 0 });
      const aborted = new AbortController();
      await cache.get().catch(() => say("told"));
      cache.get({ signal: aborted.signal }).catch(() => {});
      aborted.abort();
      await cache.get({ signal: AbortSignal.abort() }).catch(() => {});
      // A background refresh that fails without a waiting caller.
      const initial = { access_token: "mine", expires_in: 30, receivedAt: Date.now() - 25_000 };
      const stale = createTokenCache({ grant: failing, origins, initial, mintRetries: 0 });
      stale.peek();
      stale.get().catch(() => {});
      // A renewal whose token is never asked for, and a cache that is closed while a caller waits.
      policyHalf(stale).rejected(stale.peek() ?? (await stale.get()), { origin: origins[0], path: "/" });
      const hanging = createTokenCache({ grant: { mint: never }, origins });
      hanging.get().catch(() => {});
      await hanging.close();
      // A listener that is async and rejects, and a controller in place of its signal, while a mint is in progress that fails.
      const onEvent = async () => { throw new Error("telemetry is down"); };
      const told = createTokenCache({ grant: failing, origins, onEvent, mintRetries: 0 });
      told.get().catch(() => {});
      await told.get({ signal: new AbortController() }).catch((error) => say(error.name));
      // A grant that throws synchronously, and an answer whose discard fails after its caller has aborted.
      await createTokenCache({ grant: { mint() { throw new Error("boom"); } }, origins, mintRetries: 0 }).get().catch(() => {});
      const controller = new AbortController();
      const exchange = {
        send: async () => ({ status: 401 }), status: () => 401, header: () => null, canResend: () => true,
        discard: () => { controller.abort(); return Promise.reject(new Error("drain failed")); },
      };
      const own = createTokenCache({ grant: { mint: async () => ({ access_token: "a" }) }, origins });
      await withToken(own, { url: "https://api.example/", signal: controller.signal }, exchange).catch(() => say("left"));
      await new Promise((resolve) => setImmediate(resolve));
    `);
    expect(output).toBe("told\nTypeError\nleft");
    expect(code).toBe(0);
  });

  test("C12: a background refresh does not keep the process alive", async () => {
    const { code, output } = await run(`
      const initial = { access_token: "mine", expires_in: 3600, receivedAt: Date.now() - 3_590_000 + 25_000 };
      const cache = createTokenCache({ grant: { mint: never }, origins, initial, mintTimeout: 600_000 });
      process.on("exit", () => say("exits"));
      say(cache.peek().value);
    `);
    expect(output).toBe("mine\nexits");
    expect(code).toBe(0);
  });

  test("C12: a mint that a caller waits for keeps the process alive until mintTimeout", async () => {
    const { output } = await run(`
      const cache = createTokenCache({ grant: { mint: never }, origins, mintTimeout: 200, mintRetries: 0 });
      cache.get().then(say, (error) => say(error.code));
    `);
    expect(output).toBe("ERR_TOKEN_TIMEOUT");
  });

  test("C12: a retry that a caller waits for keeps the process alive", async () => {
    const { output } = await run(`
      let calls = 0;
      const mint = async () => {
        if (++calls === 1) throw Object.assign(new Error("reset"), { code: "ECONNRESET" });
        return { access_token: "second" };
      };
      createTokenCache({ grant: customGrant({ mint, mintRetries: 2 }), origins }).get().then(({ value }) => say(value), (error) => say(error.code));
    `);
    expect(output).toBe("second");
  });

  test("C12: when the only waiting caller aborts, the mint does not keep the process alive", async () => {
    const { code, output } = await run(`
      const cache = createTokenCache({ grant: { mint: never }, origins, mintTimeout: 600_000 });
      const controller = new AbortController();
      cache.get({ signal: controller.signal }).catch((reason) => say(reason));
      setImmediate(() => controller.abort("gone"));
    `);
    expect(output).toBe("gone");
    expect(code).toBe(0);
  });

  test("C12: a pool with closed storm guards does not keep the process alive", async () => {
    const { code, output } = await run(`
      const pool = createTokenPool({ create: () => createTokenCache({ grant: async () => ({ access_token: "a" }), origins }) });
      for (let user = 0; user < 5; user++) {
        const cache = pool.get("user " + user);
        for (let call = 0; call < 5; call++) {
          await policyHalf(cache).rejected(await cache.get(), { origin: origins[0], path: "/" })?.next();
        }
      }
      say(pool.size);
    `);
    expect(output).toBe("5");
    expect(code).toBe(0);
  });
});
