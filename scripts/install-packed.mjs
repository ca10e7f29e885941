// Installs into a folder what its tests need: the packages of its lock file, and the package of the repository as it would be
// published. The lock file stays as it is. `node scripts/install-packed.mjs test/frameworks`.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = resolve(process.argv[2]);
const root = fileURLToPath(new URL("..", import.meta.url));
const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];

const folder = mkdtempSync(join(tmpdir(), "remint-packed-"));
try {
  const packed = npm(["pack", ...quiet, "--json", "--pack-destination", folder], root);
  const [{ filename }] = JSON.parse(packed);
  npm(["ci", ...quiet], here);
  npm(["install", "--no-save", ...quiet, join(folder, filename)], here);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function npm(args, cwd) {
  return execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
}
