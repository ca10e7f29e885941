// Installs here the packages of the lock file: other implementations of fetch, and packages with types of their own.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const cwd = fileURLToPath(new URL(".", import.meta.url));
const quiet = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error"];
execFileSync("npm", ["ci", ...quiet], { cwd, stdio: ["ignore", "ignore", "inherit"] });
