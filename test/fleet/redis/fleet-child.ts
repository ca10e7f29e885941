/**
 * The program of one process of a fleet: a Redis client, a token cache with that store, and callers that send requests to an
 * API. It obeys the commands of its parent (fleet-parent.ts) and ends with its parent.
 */
import { Agent, get, type IncomingHttpHeaders } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { clientCredentialsGrant, createTokenCache, type TokenCache } from "remint";
import { withToken, type ClientSeam } from "remint/policy";
import { redisStore } from "remint/redis";
import { openClient, type OpenClient } from "./fleet-clients.ts";
import { PROCESS_HEADER } from "./fleet-servers.ts";
import type { Calls, Commands, Load, Opening } from "./fleet-parent.ts";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

interface Call {
  readonly url: string;
}

const number = Number(process.argv[2]);
const own = { [PROCESS_HEADER]: String(number) };
/** The connections to the API. Slow requests have their own, so that they do not block the others. */
const agents = { fast: new Agent({ keepAlive: true, maxSockets: 16 }), slow: new Agent({ keepAlive: true }) };

let opened: { readonly tokens: TokenCache; readonly redis: OpenClient; readonly api: string } | undefined;
let events: Record<string, number> = {};
let loading: { running: boolean; readonly result: Promise<Calls> } | undefined;

const client: ClientSeam<Call, Answer> = {
  send: ({ url }, headers) => send(url, headers?.["authorization"]),
  status: ({ status }) => status,
  header: ({ headers }, name) => String(headers[name] ?? ""),
  canResend: () => true,
};

function send(url: string, authorization: string | undefined): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const agent = url.endsWith("/slow") ? agents.slow : agents.fast;
    const headers = { ...own, ...(authorization !== undefined && { authorization }) };
    const request = get(url, { agent, headers }, (response) => {
      response.resume();
      response.once("end", () => resolve({ status: response.statusCode!, headers: response.headers }));
    });
    request.once("error", reject);
  });
}

/** Closes the cache and the client, and opens new ones for a record. */
async function open({
  record,
  redis,
  fleet,
  api,
  tokenEndpoint,
  encryptionKey,
  isCutOff,
  ...options
}: Opening): Promise<void> {
  await close();
  const connection = await openClient(number, redis);
  events = {};
  const tokens = createTokenCache({
    ...options,
    grant: clientCredentialsGrant({
      tokenEndpoint,
      clientId: "fleet",
      clientSecret: "s3cret",
      scope: record,
      // Nothing listens on port 1.
      fetch: (url, init) =>
        fetch(isCutOff ? "http://127.0.0.1:1/" : url, { ...init, headers: { ...(init?.headers as object), ...own } }),
    }),
    origins: [api],
    store: redisStore(connection.client, { encryptionKey, ...fleet }),
    onEvent: ({ name }) => void (events[name] = (events[name] ?? 0) + 1),
  });
  opened = { tokens, redis: connection, api };
}

async function close(): Promise<void> {
  await opened?.tokens.close();
  opened?.redis.close();
  opened = undefined;
}

/** Counts the outcomes of calls. */
class Tally implements Calls {
  served = 0;
  unauthorized = 0;
  readonly errors: string[] = [];
  readonly waits: number[] = [];

  async call(path: string): Promise<void> {
    const since = performance.now();
    const { tokens, api } = opened!;
    try {
      const { status } = await withToken(tokens, { url: api + path }, client);
      if (status === 401) this.unauthorized++;
      else this.served++;
    } catch (error) {
      this.errors.push(String(error));
    }
    this.waits.push(performance.now() - since);
  }
}

/** Lets so many callers send one request each, at the same time. */
async function burst({ callers, path }: { callers: number; path: string }): Promise<Calls> {
  const tally = new Tally();
  await Promise.all(Array.from({ length: callers }, () => tally.call(path)));
  return tally;
}

/** Lets so many callers send requests with pauses, until `stop` is called. */
function start({ callers, pause, path }: Load): void {
  const tally = new Tally();
  const load = { running: true, result: undefined as unknown as Promise<Calls> };
  const caller = async (): Promise<void> => {
    await sleep(pause * Math.random());
    while (load.running) {
      await tally.call(path);
      await sleep(pause * (0.5 + Math.random()));
    }
  };
  load.result = Promise.all(Array.from({ length: callers }, caller)).then(() => tally);
  loading = load;
}

async function stop(): Promise<Calls> {
  loading!.running = false;
  return loading!.result;
}

const commands: Commands = {
  open,
  connected: async () => void (await opened!.redis.connected),
  reaches: () => opened!.redis.reaches(),
  burst,
  start: async (load) => start(load),
  stop,
  events: async () => events,
  close,
};

process.on("message", (message) => {
  const { id, command, argument } = message as { id: number; command: keyof Commands; argument: never };
  commands[command](argument).then(
    (result) => process.send!({ id, result }),
    (error: unknown) => process.send!({ id, error: String(error) }),
  );
});
// The parent has ended.
process.on("disconnect", () => process.exit());
