/**
 * A backend for a front end: sign-in, a revoked token, a session that ends, an identity provider that is down. The
 * script acts as the browser and checks what the browser gets.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { AddressInfo } from "node:net";
import { startApi } from "remint/testing";
import { startIdentityProvider } from "./identity-provider.ts";
import { createBff } from "./server.ts";
import { Sessions } from "./sessions.ts";

const { server: auth, endSignIns } = await startIdentityProvider();
const api = await startApi({ accepts: auth });
const sessions = new Sessions(auth.tokenEndpoint, api.origin);
const bff = createBff(sessions, api.origin);
await new Promise<void>((resolve) => bff.listen(0, "127.0.0.1", resolve));
const origin = `http://127.0.0.1:${(bff.address() as AddressInfo).port}`;

async function signIn(code: string): Promise<string> {
  const response = await fetch(`${origin}/sign-in?code=${code}`);
  return response.headers.get("set-cookie")?.split(";")[0] ?? "";
}

const browse = (cookie: string): Promise<Response> => fetch(`${origin}/api/orders`, { headers: { cookie } });

const stranger = await browse("");
assert.equal(stranger.status, 401);
console.log("nobody signed in: 401");

const alice = await signIn("alices-code");
assert.equal((await browse(alice)).status, 200);
assert.equal(auth.requests.length, 1);
console.log("signed in: 200, with the token of the sign-in");

auth.revokeAll();
const page = await Promise.all(Array.from({ length: 10 }, () => browse(alice)));
assert.ok(page.every(({ status }) => status === 200));
assert.equal(auth.requests.length, 2);
console.log("token revoked, 10 requests of one page: 200, one refresh");

endSignIns();
auth.revokeAll();
const over = await browse(alice);
assert.equal(over.status, 401);
assert.deepEqual(await over.json(), { signIn: "/sign-in" });
assert.equal((await browse(await signIn("alices-next-code"))).status, 200);
console.log("sign-in ended by the identity provider: 401, and 200 after the next sign-in");

const bob = await signIn("bobs-code");
auth.revokeAll();
auth.respond({ status: 503, headers: { "retry-after": "7" } });
const down = await browse(bob);
assert.equal(down.status, 503);
assert.equal(down.headers.get("retry-after"), "7");
console.log("identity provider down: 503, Retry-After: 7");

await sessions.close();
bff.close();
bff.closeAllConnections();
await Promise.all([api.close(), auth.close()]);
