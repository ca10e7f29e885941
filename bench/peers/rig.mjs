// The rig of `npm run peers`: the same trials for every client, over real HTTP. It knows no package. A client is a function that
// gets the servers' addresses and returns `send`, which resolves to the status of the answer, or rejects as the client does.
// The clients are in clients.mjs, and what the outcomes are called in the table is in table.mjs.
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { startApi, startAuthServer } from "remint/testing";

const CLIENT = { clientId: "peers", clientSecret: "the-s3cret-of-peers" };
/** Milliseconds from a token request to its answer. */
const LATENCY = 50;
const TEXT = JSON.stringify({ order: 7, lines: ["a", "b"] });

/**
 * Runs all trials with a client.
 *
 * @param client `(servers) => { send }`, or a promise of that. It is called for every trial.
 * @param options `callers`, `late` and `failing`: how many requests there are at once, how many late 401s, and how many callers
 *   while the token endpoint fails. `patience`: after how many milliseconds a call counts as one that never ends.
 */
export async function measure(client, { callers = 1000, late = 20, failing = 100, patience = 60_000 } = {}) {
  const outcomes = {};
  const trials = {
    cold: (stage) => coldHerd(stage, callers),
    revoked: (stage) => revocation(stage, callers),
    late: (stage) => lateRejections(stage, late),
    down: (stage) => failingEndpoint(stage, failing),
    kept: (stage) => failedRefresh(stage),
    json: (stage) => sentAgain(stage, "application/json", () => JSON.parse(TEXT)),
    buffer: (stage) => sentAgain(stage, "application/octet-stream", () => Buffer.from(TEXT)),
    stream: (stage) => sentAgain(stage, "application/octet-stream", () => Readable.from([Buffer.from(TEXT)])),
    aborted: (stage) => oneOfThree(stage, true),
    notAborted: (stage) => oneOfThree(stage, false),
    host: (stage) => anotherHost(stage),
    printed: (stage) => printedErrors(stage),
  };
  for (const [name, trial] of Object.entries(trials)) {
    outcomes[name] = await onStage(client, trial, patience);
  }
  return outcomes;
}

/** Requests before there is a token, all at once. */
async function coldHerd({ auth, call }, callers) {
  const outcomes = await Promise.all(Array.from({ length: callers }, () => call("/a")));
  return { tokenRequests: auth.requests.length, ...counts(outcomes) };
}

/** Requests that are in flight when their token is revoked. */
async function revocation({ auth, api, call, arrivals }, callers) {
  await call("/warm");
  const before = auth.requests.length;
  const arrived = api.requests.length;
  const release = api.holdAnswers();
  const answers = Promise.all(Array.from({ length: callers }, () => call("/a")));
  await arrivals(api, arrived + callers);
  auth.revokeAll();
  release();
  const outcomes = await answers;
  return { tokenRequests: auth.requests.length - before, ...counts(outcomes) };
}

/** Requests whose 401 for the old token arrives when a new token is there, one after the other. */
async function lateRejections({ auth, api, call, arrivals }, late) {
  await call("/warm");
  const release = holdLate(api, late);
  const arrived = api.requests.length;
  const answers = Array.from({ length: late }, () => call("/late"));
  await arrivals(api, arrived + late);
  auth.revokeAll();
  await call("/a");
  const before = auth.requests.length;
  const outcomes = [];
  for (const answer of answers) {
    release();
    outcomes.push(await answer);
  }
  return { tokenRequests: auth.requests.length - before, ...counts(outcomes) };
}

/** Callers, while the token endpoint answers 500. */
async function failingEndpoint({ auth, call }, callers) {
  auth.respondAlways({ status: 500, body: { error: "server_error" } });
  const began = Date.now();
  const outcomes = await Promise.all(Array.from({ length: callers }, () => call("/a", {}, 10_000)));
  return { tokenRequests: auth.requests.length, milliseconds: Date.now() - began, ...counts(outcomes) };
}

/** A late 401 to the old token, when there is a good one and the token endpoint is down: is the good one still used? */
async function failedRefresh({ auth, api, call, arrivals }) {
  await call("/warm");
  const release = holdLate(api, 1);
  const arrived = api.requests.length;
  const late = call("/late");
  await arrivals(api, arrived + 1);
  auth.revokeAll();
  const fresh = await call("/a");
  auth.respondAlways({ status: 500, body: { error: "server_error" } });
  release();
  return { fresh: fresh.status, late: (await late).status, next: (await call("/a")).status };
}

/** A body whose request is rejected because the token was revoked. */
async function sentAgain({ auth, api, call }, type, body) {
  await call("/warm");
  auth.revokeAll();
  const { status, pending, error } = await call("/b", { method: "POST", type, body: body() });
  const [first, second] = api.requests.filter(({ url }) => url === "/b").map(({ text }) => text);
  return { first: nameOf(first), second: nameOf(second), status, pending, error: error?.message };
}

function nameOf(text) {
  if (text === undefined) return "nothing";
  return text === TEXT ? "same" : text === "" ? "empty" : "other";
}

/** Three callers wait for a token, and the first one leaves or does not. */
async function oneOfThree({ auth, call, arrivals }, aborts) {
  const release = auth.holdAnswers();
  const leaver = new AbortController();
  const first = call("/a", { signal: leaver.signal });
  const others = [call("/a"), call("/a")];
  await arrivals(auth, 1);
  await sleep(100);
  if (aborts) leaver.abort();
  const left = aborts && (await Promise.race([first.then(() => true), sleep(500, false)]));
  release();
  await first;
  const outcomes = await Promise.all(others);
  return { left, failed: outcomes.filter(({ status }) => status !== 200).length };
}

/** A URL of another host, given to the client that has a token. */
async function anotherHost({ other, call }) {
  await call("/warm");
  await call(`${other.origin}/a`);
  return { arrived: other.requests.length, token: other.requests.some(({ token }) => token !== undefined) };
}

/** What is printed of an error: of an API that answers 500, of a connection that ends, of a token endpoint that answers 500. */
async function printedErrors({ auth, api, call, again }) {
  const found = {};
  await call("/warm");
  api.respondAlways({ status: 500 });
  found.api = secretsIn((await call("/a")).error, auth);
  api.respondAlways({ reset: true });
  found.connection = secretsIn((await call("/a")).error, auth);
  api.respondAlways(undefined);
  auth.respondAlways({ status: 500, body: { error: "server_error" } });
  found.tokenEndpoint = secretsIn((await (await again())("/a")).error, auth);
  return found;
}

/** Starts the authorization server of the trials. Its refresh tokens can be used again, as those of most services can. */
export function startPeerAuthServer() {
  return startAuthServer({ ...CLIENT, latency: LATENCY, rotation: false });
}

/** What a client is told of its servers. */
export function serversOf(auth, origin) {
  const { tokenEndpoint, issuer } = auth;
  return { tokenEndpoint, issuer, origin, ...CLIENT, refreshToken: () => auth.signIn().refresh_token };
}

/** Starts the servers of one trial, and ends them. */
async function onStage(client, trial, patience) {
  const auth = await startPeerAuthServer();
  const api = await startApi({ accepts: auth });
  const other = await startApi({ accepts: () => true });
  const again = async () => {
    const { send } = await client(serversOf(auth, api.origin));
    return (path, request = {}, limit = patience) =>
      outcomeOf(() => send(new URL(path, api.origin).href, request), Math.min(limit, patience));
  };
  // A client that sends nothing is not waited for.
  const arrivals = (server, total) => Promise.race([server.waitFor(total), sleep(patience, undefined, { ref: false })]);
  try {
    return await trial({ auth, api, other, call: await again(), again, arrivals });
  } finally {
    await Promise.all([auth, api, other].map((server) => server.close()));
  }
}

/**
 * Holds this many requests for `/late` back, each until one call of the returned function, and answers 401 to them. A request that
 * is sent again is answered at once: 401 if it has the old token still.
 */
function holdLate(api, count) {
  const gates = [];
  let opened = 0;
  let old;
  api.respondAlways(async ({ url, token }) => {
    if (url !== "/late") return undefined;
    old ??= token;
    if (token !== old) return undefined;
    const number = gates.length;
    if (number < count) await new Promise((resolve) => gates.push(resolve));
    return { status: 401 };
  });
  return () => gates[opened++]?.();
}

/** What became of a call: a status, an error, or nothing within the time. */
async function outcomeOf(call, patience) {
  const timer = new AbortController();
  const settled = Promise.resolve()
    .then(call)
    .then(
      (status) => ({ status }),
      (error) => ({ status: statusOf(error), error }),
    );
  const late = sleep(patience, { pending: true }, { signal: timer.signal }).catch(() => ({}));
  const outcome = await Promise.race([settled, late]);
  timer.abort();
  return outcome;
}

/** The status of the API's answer that an error of a client carries. */
function statusOf(error) {
  return error?.response?.status ?? error?.status;
}

function counts(outcomes) {
  const count = (is) => outcomes.filter(is).length;
  return {
    callers: outcomes.length,
    ok: count(({ status }) => status === 200),
    unauthorized: count(({ status }) => status === 401),
    pending: count(({ pending }) => pending === true),
  };
}

/** The secrets in what `console.log` and `JSON.stringify` make of an error. `undefined`: there was no error. */
function secretsIn(error, auth) {
  if (error === undefined) return undefined;
  const printed = inspect(error) + json(error);
  const basic = Buffer.from(`${CLIENT.clientId}:${CLIENT.clientSecret}`).toString("base64");
  const refreshTokens = auth.requests.map(({ form }) => form.get("refresh_token")).filter((value) => value !== null);
  const has = (values) => values.some((value) => printed.includes(value));
  return { token: has(auth.issued), secret: has([CLIENT.clientSecret, basic]), refreshToken: has(refreshTokens) };
}

function json(value) {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return ""; // It has a circle, so that nobody can print it like this.
  }
}
