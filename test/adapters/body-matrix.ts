/**
 * The matrix of bodies (Q6, Q14): every kind of body with every client, first sends and resends, and bodies that the
 * caller changes between the call and the send. The bytes are compared at the server with those that the client sends
 * alone. Runs everywhere: no `node:` imports.
 */
import { dpop } from "remint/dpop";
import type { Family, Sent, TestClient } from "../matrix/clients.ts";
import { cacheOf, type Ground, Io, logOf, newRun } from "../matrix/run.ts";
import { type Arrival, comparable, differences, HELD, NONCE, REFUSING, REJECTING, WAITING } from "../matrix/wire.ts";

/** When a body is sent. In `rejected` and `nonce` it is sent twice. */
export const SENDS = {
  "first send, warm": "w",
  "first send, after a wait": WAITING,
  "resend after a 401": REJECTING,
  "resend with a nonce": NONCE,
} as const;
export type Send = keyof typeof SENDS;

/**
 * What comes of a body:
 * - `again`: where the first send is answered with 401, it is resent byte for byte.
 * - `once`: it is sent once, and the 401 goes to the caller.
 * - `TypeError`: the call rejects with a TypeError, or because of one, and nothing is sent.
 * - Anything else: why the body is not tried with the client.
 */
type Expected = "again" | "once" | "TypeError" | (string & {});

interface Body {
  readonly kind: string;
  readonly make: (io: Io) => Made;
  /** What comes of it: the same for every client, or for each. */
  readonly expected: Expected | Readonly<Record<"fetch" | "ofetch" | "http" | "axios", Expected>>;
  /** What comes of it with undici, if it is not the same as with fetch. */
  readonly undici?: Expected | Readonly<Partial<Record<"fetch" | "request", Expected>>>;
  /** Needs Node's modules. */
  readonly node?: true;
  /** Why the resend may say in another way how long its body is. */
  readonly otherLength?: string;
}

interface Made extends Sent {
  /** Changes the body after the call. */
  readonly change?: () => void;
  /** For a body factory: the request without it, in each state. By default the request itself, which does not change. */
  readonly sends?: readonly Sent[];
  /** A first argument of fetch in place of the URL. */
  readonly request?: (url: string) => Request;
}

const text = { "content-type": "text/plain" };
const BYTES = new Uint8Array(Array.from({ length: 300 }, (_, index) => index % 256));
const CHUNKS = ["first chunk, ", "second chunk, ", "ütf-8"];
/** axios turns an iterable into JSON unless `transformRequest` is replaced. */
const asIs = { transformRequest: (data: unknown) => data };

const ONLY_FETCH_STREAMS = "neither axios' http adapter nor an XMLHttpRequest sends web streams";
const ONLY_AXIOS = "only axios makes a body of it";
const ONLY_JSON = "fetch itself makes no JSON";
const ONLY_FETCH = "only fetch takes a Request";
const ONLY_FORMS = "only axios' http adapter sends forms of the form-data package";

const NO_OVERRIDES = "fetch hands no option of its own to a dispatcher";

const everywhere = (expected: Expected): Body["expected"] => expected;
const only = (families: readonly ("fetch" | "ofetch" | "http" | "axios")[], expected: Expected, reason: string) => {
  const of = (family: "fetch" | "ofetch" | "http" | "axios"): Expected =>
    families.includes(family) ? expected : reason;
  return { fetch: of("fetch"), ofetch: of("ofetch"), http: of("http"), axios: of("axios") };
};

/** A body factory that makes one body for each send. */
function factory(bodies: readonly (() => unknown)[], more: Sent = {}, isAsync = false): Made {
  let calls = 0;
  const body = (): unknown => {
    const made = bodies[Math.min(calls++, bodies.length - 1)]!();
    return isAsync ? Promise.resolve(made) : made;
  };
  const sends = bodies.map((make) => ({ ...more, body: make() }));
  return { headers: text, ...more, remint: { body }, sends: sends.map((sent) => ({ headers: text, ...sent })) };
}

const factories = [
  ["of the same length", ["body one", "body two"]],
  ["that is longer the second time", ["body one", "a longer body two"]],
  ["that is shorter the second time", ["a long body one", "two"]],
] as const;

export const BODIES: readonly Body[] = [
  { kind: "nothing", make: () => ({}), expected: everywhere("again") },
  { kind: "undefined", make: () => ({ body: undefined }), expected: everywhere("again") },
  { kind: "null", make: () => ({ body: null }), expected: everywhere("again") },
  { kind: "a string", make: () => ({ body: "grüße", headers: text }), expected: everywhere("again") },
  { kind: "an empty string", make: () => ({ body: "", headers: text }), expected: everywhere("again") },
  {
    kind: "URLSearchParams",
    make: () => {
      const body = new URLSearchParams("a=1&b=%C3%BC");
      return { body, change: () => body.append("later", "1") };
    },
    expected: everywhere("again"),
    undici: { request: "undici's request takes no URLSearchParams" },
  },
  {
    kind: "a Buffer",
    // Buffer.from takes small buffers from a shared pool; the bytes around this one must not be sent.
    make: ({ ground }) => ({ body: ground.node!.Buffer.from(BYTES), headers: text }),
    expected: everywhere("again"),
    node: true,
  },
  { kind: "a Uint8Array", make: () => ({ body: BYTES.slice(), headers: text }), expected: everywhere("again") },
  {
    kind: "a Uint8Array with an offset",
    make: () => ({ body: BYTES.slice().subarray(40, 90), headers: text }),
    expected: everywhere("again"),
  },
  {
    kind: "a Uint16Array",
    make: () => ({ body: new Uint16Array(BYTES.slice().buffer), headers: text }),
    expected: everywhere("again"),
  },
  {
    kind: "an ArrayBuffer",
    make: () => ({ body: BYTES.slice().buffer, headers: text }),
    expected: everywhere("again"),
  },
  {
    kind: "a DataView",
    make: () => ({ body: new DataView(BYTES.slice().buffer, 10, 90), headers: text }),
    expected: everywhere("again"),
  },
  { kind: "a Blob", make: () => ({ body: new Blob([BYTES], { type: "image/png" }) }), expected: everywhere("again") },
  {
    kind: "a File",
    make: () => ({ body: new File([BYTES], "a.png", { type: "image/png" }) }),
    expected: everywhere("again"),
  },
  {
    kind: "a web FormData with a file",
    make: ({ client }) => {
      const body = new client.kind.FormData();
      body.append("field", "välue");
      body.append("file", new Blob([BYTES], { type: "image/png" }), "a.png");
      return { body, change: () => body.append("later", "1") };
    },
    expected: everywhere("again"),
  },
  {
    kind: "a megabyte",
    make: () => ({ body: new Uint8Array(1 << 20).fill(7), headers: text }),
    expected: everywhere("again"),
  },
  {
    kind: "a plain object",
    make: () => {
      const body: Record<string, unknown> = { a: 1, b: { c: "ü" } };
      return { body, change: () => void (body["later"] = 1) };
    },
    expected: only(["ofetch", "http", "axios"], "again", ONLY_JSON),
  },
  {
    kind: "an array",
    make: () => {
      const body: unknown[] = [1, { a: 2 }];
      return { body, change: () => void body.push("later") };
    },
    expected: only(["ofetch", "http", "axios"], "again", ONLY_JSON),
  },
  {
    kind: "a plain object as a multipart form",
    make: () => ({ body: { a: 1, b: "ü" }, headers: { "content-type": "multipart/form-data" } }),
    expected: only(["http"], "again", ONLY_AXIOS),
  },
  {
    kind: "a form of the form-data package, of strings and buffers",
    make: ({ ground }) => {
      const body = new ground.node!.FormDataPackage();
      body.append("field", "välue");
      body.append("file", ground.node!.Buffer.from(BYTES), { filename: "a.png" });
      return { body, headers: body.getHeaders() };
    },
    expected: only(["http"], "again", ONLY_FORMS),
    node: true,
  },
  {
    kind: "a form of the form-data package, with a stream",
    make: ({ ground }) => {
      const body = new ground.node!.FormDataPackage();
      body.append("field", "value");
      body.append("file", ground.node!.Readable.from(CHUNKS), { filename: "a.txt" });
      return { body, headers: body.getHeaders() };
    },
    expected: only(["http"], "once", ONLY_FORMS),
    node: true,
  },
  {
    kind: "a Node Readable",
    make: ({ ground }) => ({ body: ground.node!.Readable.from(CHUNKS), headers: text }),
    expected: everywhere("once"),
    node: true,
  },
  {
    kind: "a ReadableStream",
    make: () => ({ body: webStream(), headers: text }),
    expected: only(["fetch", "ofetch", "axios"], "once", ONLY_FETCH_STREAMS),
  },
  {
    kind: "a ReadableStream that is locked",
    make: () => {
      const body = webStream();
      body.getReader();
      return { body, headers: text };
    },
    expected: only(["fetch", "ofetch", "axios"], "TypeError", ONLY_FETCH_STREAMS),
  },
  {
    kind: "an async generator",
    make: () => ({ body: generated(), headers: text, own: asIs }),
    expected: only(["fetch", "ofetch", "axios"], "once", ONLY_FETCH_STREAMS),
  },
  ...[false, true].flatMap((isAsync): Body[] => {
    const kind = isAsync ? "an async factory" : "a factory";
    return [
      ...factories.map(([what, bodies]): Body => {
        const makers = bodies.map((body) => () => body);
        return {
          kind: `${kind} of strings, ${what}`,
          make: () => factory(makers, {}, isAsync),
          undici: { fetch: NO_OVERRIDES },
          expected: everywhere("again"),
        };
      }),
      {
        kind: `${kind} of Blobs`,
        make: () => factory([() => new Blob(["one"]), () => new Blob(["two, longer"])], {}, isAsync),
        undici: { fetch: NO_OVERRIDES },
        expected: everywhere("again"),
      },
      {
        kind: `${kind} of ReadableStreams`,
        make: () => factory([() => webStream(), () => webStream()], { own: asIs }, isAsync),
        undici: { fetch: NO_OVERRIDES },
        expected: only(["fetch", "ofetch", "axios"], "again", ONLY_FETCH_STREAMS),
      },
      {
        kind: `${kind} of Node Readables`,
        make: ({ ground }) => {
          const { Readable } = ground.node!;
          return factory([() => Readable.from(CHUNKS), () => Readable.from(["another"])], { own: asIs }, isAsync);
        },
        undici: { fetch: NO_OVERRIDES },
        expected: everywhere("again"),
        node: true,
      },
      {
        kind: `${kind} of URLSearchParams`,
        make: () =>
          factory([() => new URLSearchParams("a=1"), () => new URLSearchParams("a=1&b=2")], { headers: {} }, isAsync),
        undici: { fetch: NO_OVERRIDES },
        expected: everywhere("again"),
      },
      {
        kind: `${kind} of plain objects`,
        make: () => factory([() => ({ a: 1 }), () => ({ a: 1, b: "ü" })], { headers: {} }, isAsync),
        undici: { fetch: NO_OVERRIDES },
        expected: only(["http", "axios"], "again", "what remint.body makes goes to fetch as it is"),
      },
    ];
  }),
  {
    kind: "a Request with a text",
    make: ({ client }) => ({
      request: (url) => new client.kind.Request(url, { method: "POST", body: "of a Request", headers: text }),
    }),
    undici: { request: ONLY_FETCH },
    expected: only(["fetch"], "again", ONLY_FETCH),
  },
  {
    kind: "a Request with a stream",
    make: ({ client }) => ({
      request: (url) =>
        new client.kind.Request(url, {
          method: "POST",
          body: webStream(),
          headers: text,
          duplex: "half",
        } as RequestInit),
    }),
    undici: { request: ONLY_FETCH, fetch: "once" },
    expected: only(["fetch"], "again", ONLY_FETCH),
    otherLength: "the resend is made of the bytes of a clone, whose number is known",
  },
  {
    kind: "a Request with a body, and a factory",
    make: ({ client }) => ({
      ...factory([() => "body one", () => "another body"], { headers: text }),
      request: (url) => new client.kind.Request(url, { method: "POST", body: "replaced", headers: text }),
    }),
    undici: { request: ONLY_FETCH, fetch: NO_OVERRIDES },
    expected: only(["fetch"], "again", ONLY_FETCH),
  },
];

function webStream(): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of CHUNKS) controller.enqueue(new TextEncoder().encode(chunk));
      controller.close();
    },
  });
}

async function* generated(): AsyncGenerator<Uint8Array> {
  for (const chunk of CHUNKS) yield new TextEncoder().encode(chunk);
}

/** One cell of the table. */
export interface Cell {
  readonly name: string;
  readonly body: Body;
  readonly send: Send;
  /** Whether the caller changes the body between the call and the send. */
  readonly changed: boolean;
}

const CHANGING = new Set(["URLSearchParams", "a web FormData with a file", "a plain object", "an array"]);

export const cells: readonly Cell[] = BODIES.flatMap((body) =>
  (Object.keys(SENDS) as Send[]).flatMap((send) => [
    { name: `Q6: ${body.kind} as a body: ${send}`, body, send, changed: false },
    // A warm request is sent when it is made, so there is no time between.
    ...(CHANGING.has(body.kind) && send !== "first send, warm"
      ? [
          {
            name: `Q6, Q14: ${body.kind} as a body that the caller changes after the call: ${send}`,
            body,
            send,
            changed: true,
          },
        ]
      : []),
  ]),
);

/** Returns why a cell is not tried; `undefined` if it is. */
export function unfitCell({ body }: Cell, client: TestClient, ground: Ground): string | undefined {
  if (body.node && ground.node === undefined) return "no Node modules";
  const expected = expectedOf(body, client.family);
  return ["again", "once", "TypeError"].includes(expected) ? undefined : expected;
}

function expectedOf({ expected, undici }: Body, family: Family): Expected {
  if (family.startsWith("undici")) {
    const own = typeof undici === "object" ? undici[family === "undici/fetch" ? "fetch" : "request"] : undici;
    return own ?? (typeof expected === "string" ? expected : expected.fetch);
  }
  if (typeof expected === "string") return expected;
  if (family === "axios/xhr" && expected.http === ONLY_FETCH_STREAMS) return ONLY_FETCH_STREAMS;
  return expected[family === "axios/http" ? "http" : family.startsWith("axios") ? "axios" : (family as "fetch")];
}

/** Runs a cell. Returns what is wrong, each fault in one line. */
export async function runCell(ground: Ground, client: TestClient, { body, send, changed }: Cell): Promise<string[]> {
  const alone = await sentAlone(ground, client, body);
  // Not every runtime's client takes every body: pages send no streams over HTTP/1.1.
  const refused = alone.find(({ seen }) => seen.rejected !== undefined)?.seen.rejected;
  const run = `${SENDS[send]}${changed ? HELD : ""}run${newRun()}`;
  const tokens = cacheOf(
    ground,
    run,
    send === "first send, after a wait",
    send === "resend with a nonce" ? dpop() : undefined,
  );
  try {
    if (send !== "first send, after a wait") await tokens.get();
    const io = new Io(client, ground, run, tokens);
    const made = body.make(io);
    const answer = request(io, made);
    if (changed) {
      await globalThis.fetch(`${ground.servers.api}/hold/${run}/begun`);
      made.change!();
      await globalThis.fetch(`${ground.servers.api}/hold/${run}/ended`);
    }
    const seen = (await answer) as Seen;
    const { arrivals } = await logOf(ground, run, 0);
    const expected = expectedOf(body, client.family);
    if (expected === "TypeError" || refused !== undefined)
      return refusalFaults(refused?.name ?? "TypeError", seen, arrivals, 0);
    if (send.startsWith("resend")) {
      const hidden = (await sentAlone(ground, client, body, REFUSING))[0]!.seen.rejected?.name;
      if (hidden !== undefined) return refusalFaults(hidden, seen, arrivals, 1);
    }
    const sends = send.startsWith("first") || expected === "once" ? 1 : 2;
    const status = expected === "once" && send.startsWith("resend") ? 401 : 200;
    const faults = faultsOf(status, sends, seen, arrivals, alone, body.otherLength !== undefined);
    // The rejection is reported, though the request is not sent again.
    if (status === 401 && send === "resend after a 401" && tokens.peek() !== undefined)
      faults.push("the token is kept");
    return faults;
  } finally {
    await tokens.close();
  }
}

interface Seen {
  readonly resolved?: { readonly status?: number };
  readonly rejected?: {
    readonly name?: string;
    readonly message?: string;
    readonly cause?: { readonly name?: string };
  };
}

function refusalFaults(
  name: string,
  { resolved, rejected }: Seen,
  { length }: readonly Arrival[],
  sends: number,
): string[] {
  const names = [rejected?.name, rejected?.cause?.name];
  if (names.includes(name) && length === sends) return [];
  return [
    `expected ${name} and ${sends} requests, got ${names.join(" of ")}, status ${resolved?.status}, ${length} requests`,
  ];
}

function faultsOf(
  status: number,
  sends: number,
  { resolved, rejected }: Seen,
  arrivals: readonly Arrival[],
  alone: readonly Sending[],
  mayHaveOtherLength: boolean,
): string[] {
  const faults: string[] = [];
  if (resolved?.status !== status) {
    faults.push(`expected the status ${status}, got ${resolved?.status ?? `${rejected?.name}: ${rejected?.message}`}`);
  }
  if (arrivals.length !== sends) faults.push(`expected ${sends} requests, got ${arrivals.length}`);
  for (const [index, arrival] of arrivals.entries()) {
    const wanted = alone[Math.min(index, alone.length - 1)]!.arrivals;
    const names = mayHaveOtherLength && index > 0 ? TYPE : TYPE_AND_LENGTH;
    const found = differences(bodyOf(wanted, names), bodyOf([arrival], names));
    faults.push(...found.map((each) => `send ${index + 1}: ${each}`));
  }
  return faults;
}

/** Returns of each request what says how its body was sent. */
function bodyOf(arrivals: readonly Arrival[], names: RegExp): object[] {
  return comparable(arrivals).map((each) => {
    const { body, whole, headers } = each as Arrival;
    const own = headers.filter(([name]) => names.test(name));
    return { body, whole, headers: own };
  });
}

const TYPE = /^content-type$/i;
const TYPE_AND_LENGTH = /^(?:content-(?:type|length)|transfer-encoding)$/i;

/** What the client alone makes of a body. */
interface Sending {
  readonly seen: Seen;
  readonly arrivals: readonly Arrival[];
}

const known = new WeakMap<TestClient, Map<string, Promise<readonly Sending[]>>>();

/**
 * Sends a body with the client alone: once, or for a factory once for each of its bodies.
 *
 * @param letter The first letter of the run: `b`, or {@link REFUSING}.
 */
function sentAlone(ground: Ground, client: TestClient, body: Body, letter: string = "b"): Promise<readonly Sending[]> {
  let bodies = known.get(client);
  if (bodies === undefined) known.set(client, (bodies = new Map()));
  const key = letter + body.kind;
  let sent = bodies.get(key);
  if (sent === undefined) bodies.set(key, (sent = sendAlone(ground, client, body, letter)));
  return sent;
}

async function sendAlone(ground: Ground, client: TestClient, body: Body, letter: string): Promise<readonly Sending[]> {
  const { sends } = body.make(new Io(client, ground, "unused", undefined));
  const sent: Sending[] = [];
  for (const own of sends ?? [undefined]) {
    const run = `${letter}run${newRun()}`;
    const io = new Io(client, ground, run, undefined);
    const seen = (await request(io, own ?? body.make(io))) as Seen;
    sent.push({ seen, arrivals: (await logOf(ground, run, 0)).arrivals });
  }
  return sent;
}

function request(io: Io, { request: make, change: _change, sends: _sends, ...sent }: Made): Promise<object> {
  if (make === undefined) return io.send("/echo", { method: "POST", ...sent });
  const { remint } = sent;
  return io.outcome(io.fetch(make(io.url("/echo")), remint === undefined ? undefined : ({ remint } as RequestInit)));
}
