// The application to look at: `npx vite build spa && npx tsx spa/main.ts`. Its authorization server and its API are those of
// `remint/testing`. The password is "secret".
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { startApi, startAuthServer } from "remint/testing";
import { createAppServer } from "./server.ts";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const server = createAppServer({
  files: fileURLToPath(new URL("dist", import.meta.url)),
  tokenEndpoint: auth.tokenEndpoint,
  revocationEndpoint: auth.revocationEndpoint,
  clientId: "orders",
  clientSecret: "the secret of the orders",
  api: api.origin,
  signIn: async (user, password) => (password === "secret" ? auth.signIn(user) : undefined),
});
await once(server.listen(Number(process.env["PORT"] ?? 0), "127.0.0.1"), "listening");
console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
