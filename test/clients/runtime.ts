/** What runtimes.test.ts runs in Bun and in Deno: their own fetch, Request and Response. Prints one line of JSON. */
import { createTokenCache } from "../../src/index.ts";
import { createAuthFetch } from "../../src/adapters/fetch.ts";
import { fakeGrant, startApi } from "../../src/testing/index.ts";

const rejected = new Set<string>();
const api = await startApi({ accepts: (token) => !rejected.has(token) });
const grant = fakeGrant();
const tokens = createTokenCache({ grant, origins: [api.origin], mintRetries: 0 });
const authFetch = createAuthFetch(tokens, { failedRenewal: "response" });
const url = `${api.origin}/x`;
const headers = { "Content-Type": "text/plain", "X-Mine": "1" };
const statuses: number[] = [];
const note = async (answer: Promise<Response>): Promise<void> => void statuses.push((await answer).status);

class Options {
  readonly #method = "PATCH";
  get method(): string {
    return this.#method;
  }
  get body(): string {
    return "of a class";
  }
}

await note(authFetch(url));
const wrong = await authFetch(url, { headers: 5 as never }).then(
  () => "sent",
  (error: Error) => error.name,
);
await note(authFetch(new URL(url), { method: "POST", headers: new Headers(headers), body: "warm" }));
await note(authFetch(url, new Options()));
rejected.add("fake-1");
await note(authFetch(new Request(url, { method: "POST", headers, body: "a Request" })));
rejected.add("fake-2");
const body = (): ReadableStream => new Blob(["a stream"]).stream();
await note(authFetch(url, { method: "POST", headers, remint: { body } }));
rejected.add("fake-3");
grant.fail(new Error("no other token"), Infinity);
const last = await authFetch(url, { method: "PUT", headers, body: "last" });
const sends = api.requests.map(({ token, method, text }) => [token, method, text]);
const lengths = api.requests.map(({ headers: { "content-length": length } }) => length);
const kept = [last.status, last.url === url, last instanceof Response, await last.clone().json(), await last.json()];
console.log(JSON.stringify({ statuses, sends, lengths, kept, wrong }));
await tokens.close();
await api.close();
