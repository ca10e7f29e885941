// Builds dist/ file by file with plain tsc, so that what is published reads like what is written.
import { spawnSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
rmSync("dist", { recursive: true, force: true });

// The library may not name a Node global (C12); only the testing kit, which starts servers, gets Node's types.
for (const project of ["tsconfig.build.json", "tsconfig.testing.json"]) {
  const { status } = spawnSync(process.execPath, ["node_modules/typescript-7/bin/tsc", "-p", project], { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}
// tsc does not copy declarations: this one gives CJS users the `remint` key of axios' config.
cpSync("src/adapters/axios-commonjs.d.cts", "dist/adapters/axios-commonjs.d.cts");
