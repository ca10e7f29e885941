// Builds dist/ file by file with plain tsc, so that what is published reads like what is written.
import { spawnSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

process.chdir(fileURLToPath(new URL("..", import.meta.url)));
rmSync("dist", { recursive: true, force: true });

// The library may not name a Node global (C12); only the testing kit, which starts servers, and `remint/node`,
// which reads files, get Node's types.
for (const project of ["tsconfig.build.json", "tsconfig.testing.json"]) {
  const tsc = ["node_modules/typescript-7/bin/tsc", "-p", project];
  const { status } = spawnSync(process.execPath, tsc, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

// The `remint` key of axios' config for CommonJS users: tsc copies no declarations.
cpSync("src/adapters/axios/axios-commonjs.d.cts", "dist/adapters/axios/axios-commonjs.d.cts");
