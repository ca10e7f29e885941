/**
 * `remint/proxy` mounted in real frameworks as `examples/proxy` says, in production mode, over real connections. Next and
 * SvelteKit, which have to be built, are in files of their own.
 */
import { copyOfExamples } from "./proxy-mounts.ts";
import { describeMount, type Mount } from "./proxy-contract.ts";

const MOUNTS: readonly Mount[] = [
  { name: "Hono 4", server: "hono" },
  { name: "Express 5", server: "express" },
  { name: "Fastify 5", server: "fastify" },
  { name: "Koa 3", server: "koa" },
  { name: "hapi 21", server: "hapi" },
  {
    name: "h3 2",
    server: "h3",
    holdsHead: "srvx sends the head of an answer together with the first bytes of its body",
  },
  { name: "h3 1, as in Nitro 2", server: "nitro-2" },
];

const folder = copyOfExamples();

for (const mount of MOUNTS) describeMount(mount, () => folder);
