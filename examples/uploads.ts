/**
 * Uploads of streams. A stream can be read only once, so a rejected upload is not sent again: it would arrive empty.
 * The caller gets the 401, and the next call has a new token. Give a function that makes the stream, and the upload is
 * sent again.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Readable } from "node:stream";
import axios from "axios";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";
import { startApi, startAuthServer } from "remint/testing";

const auth = await startAuthServer();
const api = await startApi({ accepts: auth });
const tokens = createTokenCache({
  grant: clientCredentialsGrant({ tokenEndpoint: auth.tokenEndpoint, clientId: "backup", clientSecret: "s3cret" }),
  origins: [api.origin],
});
axios.interceptors.request.use(createAuthInterceptor(tokens));

const url = `${api.origin}/backups`;
const config = { headers: { "content-type": "application/octet-stream" }, validateStatus: null };
const openFile = (): Readable => Readable.from(["line 1\n", "line 2\n", "line 3\n"]);

await tokens.get();
auth.revokeAll();
const stream = await axios.put(url, openFile(), config);

await tokens.get();
auth.revokeAll();
const factory = await axios.put(url, undefined, { ...config, remint: { body: openFile } });

assert.equal(stream.status, 401);
assert.equal(factory.status, 200);
const [lost, rejected, arrived] = api.requests;
for (const upload of [lost, rejected, arrived]) assert.equal(upload?.text, "line 1\nline 2\nline 3\n");
assert.equal(arrived?.status, 200);
console.log(`a stream: ${stream.status}, sent once; a body factory: ${factory.status}, sent again`);

await Promise.all([api.close(), auth.close()]);
