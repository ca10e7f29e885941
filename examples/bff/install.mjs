// Installs the packages of this example, once, and puts the package of the repository beside them: `remint` is here what its
// package.json exports.
import { execFileSync } from "node:child_process";
import { existsSync, statSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../..", import.meta.url));
const installed = join(here, "node_modules/.package-lock.json");
const link = join(here, "node_modules/remint");

if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(join(here, "package-lock.json")).mtimeMs) {
  console.log("Installing the packages of examples/bff, once ...");
  const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
  execFileSync("npm", ["ci", ...quiet], { cwd: here, stdio: ["ignore", "ignore", "inherit"] });
}
if (!existsSync(link)) symlinkSync(root, link, "junction");
