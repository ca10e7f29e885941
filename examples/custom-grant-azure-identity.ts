/**
 * A grant that gets its tokens from `@azure/identity`: from any credential with `getToken(scopes, options)`, which
 * resolves to `{ token, expiresOnTimestamp }`. remint adds the renewal after a 401, which the Azure clients do not
 * have.
 *
 * `@azure/identity` is not installed here. The class below has the shape that its documentation gives for
 * `TokenCredential`. With the real package, delete the class and write `new DefaultAzureCredential()`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createTokenCache, customGrant } from "remint";
import { createAuthFetch } from "remint/fetch";
import { startApi } from "remint/testing";

interface AccessToken {
  readonly token: string;
  /** Epoch milliseconds. */
  readonly expiresOnTimestamp: number;
}

/** Stands for a credential of `@azure/identity`. */
class Credential {
  asked: string[] = [];

  async getToken(scope: string, options: { readonly abortSignal?: AbortSignal } = {}): Promise<AccessToken | null> {
    options.abortSignal?.throwIfAborted();
    this.asked.push(scope);
    return { token: `azure-${this.asked.length}`, expiresOnTimestamp: Date.now() + 3_600_000 };
  }
}

const credential = new Credential();
const live = new Set(["azure-1", "azure-2"]);
const api = await startApi({ accepts: (token) => live.has(token) });

const scope = "https://graph.example/.default";
const tokens = createTokenCache({
  grant: customGrant({
    key: `azure ${scope}`,
    mint: ({ signal }) => credential.getToken(scope, { abortSignal: signal }),
  }),
  origins: [api.origin],
});
const authFetch = createAuthFetch(tokens);

assert.equal((await authFetch(`${api.origin}/me`)).status, 200);
live.delete("azure-1"); // The token is revoked before it expires, for example after a change of the password.
assert.equal((await authFetch(`${api.origin}/me`)).status, 200);
assert.deepEqual(credential.asked, [scope, scope]);
const minutes = Math.round((tokens.peek()!.expiresAt - Date.now()) / 60_000);
assert.equal(minutes, 60);
console.log(`@azure/identity's shape: calls: 2, tokens: ${credential.asked.length}, kept for minutes: ${minutes}`);

await api.close();
