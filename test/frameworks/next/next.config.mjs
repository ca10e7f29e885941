import { fileURLToPath } from "node:url";

export default {
  // Git, the linter and the formatter ignore it there.
  distDir: "node_modules/.next",
  // Where the packages are. Next.js would guess the root of the repository, because it has a lock file too.
  turbopack: { root: fileURLToPath(new URL("..", import.meta.url)) },
};
