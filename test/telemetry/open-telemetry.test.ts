/** What remint/otel does with single events. What the real SDK exports is in test/otel. */
import { describe, expect, test } from "vitest";
import {
  createTokenCache,
  createTokenPool,
  RemintError,
  TokenEndpointError,
  type EventListener,
  type RemintEvent,
} from "../../src/index.ts";
import { openTelemetry, type AttributesLike, type MeterLike, type TracerLike } from "../../src/otel/index.ts";
import { fakeGrant } from "../../src/testing/index.ts";

interface Told {
  readonly metrics: string[];
  readonly spans: string[];
}

interface Fake extends Told {
  readonly meter: MeterLike;
  readonly tracer: TracerLike;
}

/** A meter and a tracer that write down what they are told, as lines. */
function fake(): Fake {
  const [metrics, spans]: [string[], string[]] = [[], []];
  const instrument = (name: string) => {
    const tell = (value: number, attributes: AttributesLike = {}): void =>
      void metrics.push(`${name} ${value} ${list(attributes)}`.trim());
    return { add: tell, record: tell };
  };
  const meter = { createCounter: instrument, createUpDownCounter: instrument, createHistogram: instrument };
  const tracer: TracerLike = {
    startSpan(name, { attributes = {} } = {}) {
      spans.push(`start ${name} ${list(attributes)}`);
      return {
        setAttributes: (more) => spans.push(`set ${list(more)}`),
        setStatus: ({ code, message }) => spans.push(`status ${code} ${message}`),
        addEvent: (event, more = {}) => spans.push(`event ${event} ${list(more)}`),
        end: () => void spans.push("end"),
      };
    },
  };
  return { meter, tracer, metrics, spans };
}

const list = (attributes: AttributesLike): string =>
  Object.entries(attributes)
    .map(([name, value]) => `${name}=${value}`)
    .join(" ");

const FAILED = new TokenEndpointError(400, "no", { error: "invalid_client", hint: "at https://auth.example/token" });

function failed(error: RemintError, more: Partial<RemintEvent> = {}): RemintEvent {
  const base = {
    name: "mint-failed",
    id: 1,
    cause: "cold",
    duration: 1500,
    owner: "client",
    servedStale: false,
  } as const;
  return { ...base, error, waiters: 2, ...more } as RemintEvent;
}

/** What a tracer is told of these events. */
const spansOf = (...events: readonly RemintEvent[]): string[] => {
  const { tracer, spans } = fake();
  const onEvent = openTelemetry({ tracer });
  for (const event of events) onEvent(event);
  return spans;
};

const broken = (): never => {
  throw new Error("telemetry is broken");
};

describe("options", () => {
  test.each([
    ["nothing", undefined, /openTelemetry takes options such as/],
    ["neither a meter nor a tracer", {}, /needs a "meter", a "tracer" or both/],
    [
      "a MeterProvider",
      { meter: { getMeter: () => fake().meter } },
      /"meter" must be a Meter, such as metrics.getMeter/,
    ],
    ["a TracerProvider", { tracer: { getTracer: () => fake().tracer } }, /"tracer" must be a Tracer/],
    ["null", { meter: null }, /"meter" must be .* got null/],
    ["a misspelt option", { metre: fake().meter }, /no option "metre": did you mean "meter"/],
  ])("%s: a TypeError that says what is expected", (_, options, message) => {
    expect(() => openTelemetry(options as never)).toThrow(TypeError);
    expect(() => openTelemetry(options as never)).toThrow(message);
  });

  test("only a meter: no spans; only a tracer: no metrics", () => {
    const { meter, tracer, metrics, spans } = fake();
    openTelemetry({ meter })(failed(FAILED));
    expect([metrics.length > 0, spans]).toEqual([true, []]);
    metrics.length = 0;
    const onEvent = openTelemetry({ tracer });
    onEvent({ name: "mint-started", id: 1, cause: "cold" });
    onEvent(failed(FAILED));
    expect([metrics, spans.length > 0]).toEqual([[], true]);
  });
});

describe("metrics", () => {
  const minted = { name: "minted", id: 1, cause: "expiring", duration: 250, expiresAt: 0, repeated: false } as const;
  test.each<[RemintEvent, string[]]>([
    [{ name: "mint-started", id: 1, cause: "cold" }, []],
    [
      { ...minted, waiters: 0, server: "https://auth.example" },
      [
        "remint.mint.duration 0.25 remint.mint.cause=expiring server.address=auth.example server.port=443",
        "remint.mint.waiters 0 remint.mint.cause=expiring",
      ],
    ],
    [
      { ...minted, cause: "rejected", waiters: 7, sinceRejection: 1250 },
      [
        "remint.mint.duration 0.25 remint.mint.cause=rejected",
        "remint.mint.waiters 7 remint.mint.cause=rejected",
        "remint.renewal.duration 1.25 remint.renewal.source=minted",
      ],
    ],
    [
      { name: "adopted", id: 1, cause: "rejected", duration: 40, expiresAt: 0, waiters: 1, sinceRejection: 60 },
      [
        "remint.adoption.duration 0.04 remint.mint.cause=rejected",
        "remint.renewal.duration 0.06 remint.renewal.source=adopted",
      ],
    ],
    [
      failed(FAILED, { server: "http://[::1]:8080" }),
      [
        "remint.mint.duration 1.5 remint.mint.cause=cold server.address=::1 server.port=8080 error.type=ERR_TOKEN_ENDPOINT",
        "remint.mint.waiters 2 remint.mint.cause=cold",
        "remint.mint.failures 1 remint.mint.cause=cold server.address=::1 server.port=8080 error.type=ERR_TOKEN_ENDPOINT " +
          "http.response.status_code=400 remint.oauth.error=invalid_client remint.failure.owner=client " +
          "remint.mint.served_stale=false",
      ],
    ],
    [{ name: "mint-abandoned", id: 1, cause: "cold", duration: 9, waiters: 0, code: "ERR_CLOSED" }, []],
    [
      { name: "mint-retried", id: 1, attempt: 1, error: new RemintError("ERR_TOKEN_NETWORK", "no") },
      ["remint.mint.retries 1 error.type=ERR_TOKEN_NETWORK"],
    ],
    [{ name: "rejected", origin: "https://api.example", path: "/a" }, ["remint.token.rejections 1"]],
    [{ name: "renewal-refused", origin: "https://api.example", path: "/a" }, ["remint.renewal.refusals 1"]],
    [{ name: "lease-lost" }, ["remint.lease.losses 1"]],
    [{ name: "signed-in" }, ["remint.session.changes 1 remint.session.change=signed_in"]],
    [{ name: "signed-out" }, ["remint.session.changes 1 remint.session.change=signed_out"]],
    [{ name: "session-replaced", isEnded: false }, ["remint.session.changes 1 remint.session.change=replaced"]],
    [{ name: "session-replaced", isEnded: true }, ["remint.session.changes 1 remint.session.change=ended_elsewhere"]],
    [{ name: "state-unsaved", error: FAILED }, ["remint.state.faults 1 remint.state.fault=unsaved"]],
    [{ name: "state-in-doubt" }, ["remint.state.faults 1 remint.state.fault=in_doubt"]],
    [
      { name: "store-failed", error: FAILED },
      ["remint.store.changes 1 remint.store.state=degraded", "remint.store.degraded 1"],
    ],
    [{ name: "store-recovered" }, ["remint.store.changes 1 remint.store.state=recovered", "remint.store.degraded -1"]],
    [{ name: "invalidated" }, []],
    [
      { name: "skipped", reason: "opted-out", url: "https://api.example/a" },
      ["remint.request.skips 1 remint.skip.reason=opted-out"],
    ],
  ])("%j", (event, lines) => {
    const { meter, metrics } = fake();
    openTelemetry({ meter })(event);
    expect(metrics).toEqual(lines);
  });

  test.each([
    ["a registered one", "invalid_grant", "invalid_grant"],
    ["any other text, which could be a user's name", "alice has left", "_OTHER"],
  ])("the error of a token endpoint's answer: %s", (_, error, shown) => {
    const { meter, metrics } = fake();
    openTelemetry({ meter })(failed(new TokenEndpointError(400, "no", { error })));
    expect(metrics.join("\n")).toContain(`remint.oauth.error=${shown} `);
  });
});

describe("spans", () => {
  const started = { name: "mint-started", id: 1, cause: "cold", server: "https://auth.example" } as const;
  const START = "start remint.mint remint.mint.cause=cold server.address=auth.example server.port=443";
  test("a mint that fails: the status has the public message, and no hint", () => {
    expect(spansOf(started, { name: "mint-retried", id: 1, attempt: 1, error: FAILED }, failed(FAILED))).toEqual([
      START,
      "event remint.mint.retry error.type=ERR_TOKEN_ENDPOINT http.response.status_code=400 remint.oauth.error=invalid_client",
      "set remint.mint.outcome=failed remint.mint.waiters=2 error.type=ERR_TOKEN_ENDPOINT http.response.status_code=400 " +
        "remint.oauth.error=invalid_client remint.failure.owner=client remint.mint.served_stale=false",
      "status 2 no",
      "end",
    ]);
  });

  test("a mint that brings nothing is no error", () => {
    const ended = { id: 1, cause: "cold", duration: 1, waiters: 1 } as const;
    const abandoned: RemintEvent = { name: "mint-abandoned", ...ended, code: "ERR_NO_SESSION" };
    expect(spansOf(started, abandoned)).toEqual([
      START,
      "set remint.mint.outcome=abandoned remint.mint.waiters=1",
      "end",
    ]);
  });

  test("a mint that lands after its callers have left has ended for them: there is no second end", () => {
    const minted = { name: "minted", cause: "cold", duration: 1, expiresAt: 0, repeated: false, waiters: 0 } as const;
    expect(spansOf(started, failed(FAILED), { ...minted, id: 1 }).filter((line) => line === "end")).toHaveLength(1);
    expect(spansOf({ ...minted, id: 5 }, { name: "mint-retried", id: 5, attempt: 1, error: FAILED })).toEqual([]);
  });

  test("two mints at a time are not mixed up", () => {
    const lines = spansOf(
      started,
      { name: "mint-started", id: 2, cause: "expiring" },
      { name: "mint-abandoned", id: 2, cause: "expiring", duration: 1, waiters: 0 },
      failed(FAILED),
    );
    const [, second, ...rest] = lines;
    expect(second).toBe("start remint.mint remint.mint.cause=expiring");
    expect(rest.filter((line) => line.startsWith("set")).map((line) => line.split(" ")[1])).toEqual([
      "remint.mint.outcome=abandoned",
      "remint.mint.outcome=failed",
    ]);
  });
});

describe("C12, C20: telemetry that fails harms nobody", () => {
  const instrument = { add: broken, record: broken };
  const brokenMeter: MeterLike = {
    createCounter: () => instrument,
    createUpDownCounter: () => instrument,
    createHistogram: () => instrument,
  };
  const brokenSpan = { setAttributes: broken, setStatus: broken, addEvent: broken, end: broken };

  test.each([
    ["a meter that throws", { meter: brokenMeter }],
    ["a tracer that throws", { tracer: { startSpan: broken } }],
    ["spans that throw", { tracer: { startSpan: () => brokenSpan } }],
  ])("C12, C20: %s: tokens are minted and replaced as without it", async (_, options) => {
    const grant = fakeGrant();
    const onEvent = openTelemetry(options);
    const cache = createTokenCache({ grant, origins: ["https://api.example"], mintRetries: 0, onEvent });
    expect((await cache.get()).value).toBe("fake-1");
    await cache.invalidate("fake-1");
    grant.fail(FAILED);
    await expect(cache.get()).rejects.toMatchObject({ code: "ERR_TOKEN_ENDPOINT" });
    expect((await cache.close()).inFlight).toBe(false);
  });

  test("C20: a tracer that throws does not keep the metrics from being recorded, nor a meter the spans from ending", () => {
    const { meter, tracer, metrics, spans } = fake();
    openTelemetry({ meter, tracer: { startSpan: broken } })({ name: "lease-lost" });
    const onEvent = openTelemetry({ meter, tracer: { startSpan: () => brokenSpan } });
    onEvent({ name: "mint-started", id: 1, cause: "cold" });
    onEvent(failed(FAILED));
    expect(metrics.some((line) => line.startsWith("remint.mint.failures"))).toBe(true);
    const other = openTelemetry({ meter: brokenMeter, tracer });
    other({ name: "mint-started", id: 1, cause: "cold" });
    other(failed(FAILED));
    expect(spans.at(-1)).toBe("end");
  });

  test("C20: one instrument throws, as with a view that does: the others record, and the listener around goes on", () => {
    const { meter, metrics } = fake();
    const telemetry = openTelemetry({ meter: { ...meter, createHistogram: () => ({ record: broken }) } });
    const log: string[] = [];
    for (const event of [failed(FAILED), { name: "store-failed", error: FAILED }] as const) {
      telemetry(event);
      log.push(event.name);
    }
    expect(log).toEqual(["mint-failed", "store-failed"]);
    expect(metrics.map((line) => line.split(" ")[0])).toEqual([
      "remint.mint.failures",
      "remint.store.changes",
      "remint.store.degraded",
    ]);
  });
});

test.each<[string, (telemetry: EventListener) => EventListener | EventListener[]]>([
  ["alone", (telemetry) => telemetry],
  ["in a list, and in the option of each cache too", (telemetry) => [telemetry, () => {}, telemetry]],
])("C20: it listens to a pool, %s: each mint is counted once, and no attribute is a key", async (how, listenersOf) => {
  const { meter, tracer, metrics, spans } = fake();
  const telemetry = openTelemetry({ meter, tracer });
  const pool = createTokenPool({
    onEvent: listenersOf(telemetry),
    create: () =>
      createTokenCache({
        grant: fakeGrant(),
        origins: ["https://api.example"],
        onEvent: how === "alone" ? undefined : telemetry,
      }),
  });
  await pool.get("alice").get();
  await pool.get("bob").get();
  await pool.close();
  expect(metrics.filter((line) => line.startsWith("remint.mint.duration"))).toHaveLength(2);
  expect(spans.filter((line) => line === "end")).toHaveLength(2);
  expect([metrics, spans].flat().join()).not.toMatch(/alice|bob/);
});
