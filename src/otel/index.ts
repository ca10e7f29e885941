/**
 * Metrics and spans for OpenTelemetry, as a listener for `onEvent`.
 *
 * Nothing of `@opentelemetry/api` is imported: what is called of it is described by types. A tracer of OpenTelemetry takes the
 * active context by itself, and `mint-started` is told in the context of the call that begins the mint.
 *
 * Every attribute has few values. A pool's key, a user, a token, a path or a query is never one of them.
 *
 * @module
 */
import { assertOptions, optionError } from "../base/options.ts";
import type { RemintError } from "../base/errors.ts";
import type { EventListener, RemintEvent } from "../core/types.ts";

/** Attributes of metrics and spans. */
export type AttributesLike = Record<string, string | number | boolean>;

/** What is used of the options of an instrument. */
export interface InstrumentOptionsLike {
  /** What it measures. */
  description?: string;
  /** The unit, such as `s`. */
  unit?: string;
  /** The upper bounds of the buckets of a histogram. */
  advice?: { explicitBucketBoundaries?: number[] };
}

/** What is used of a `Counter` and of an `UpDownCounter`. */
export interface CounterLike {
  /** Adds to the sum. */
  add(value: number, attributes?: AttributesLike): void;
}

/** What is used of a `Histogram`. */
export interface HistogramLike {
  /** Records one value. */
  record(value: number, attributes?: AttributesLike): void;
}

/** What is used of a `Meter` of `@opentelemetry/api`. */
export interface MeterLike {
  /** Creates a counter. */
  createCounter(name: string, options?: InstrumentOptionsLike): CounterLike;
  /** Creates a sum that may fall. */
  createUpDownCounter(name: string, options?: InstrumentOptionsLike): CounterLike;
  /** Creates a histogram. */
  createHistogram(name: string, options?: InstrumentOptionsLike): HistogramLike;
}

/** What is used of a `Span`. */
export interface SpanLike {
  /** Sets attributes. */
  setAttributes(attributes: AttributesLike): unknown;
  /** Sets the status. `code` 2 is an error. */
  setStatus(status: { code: number; message?: string }): unknown;
  /** Adds an event at this moment. */
  addEvent(name: string, attributes?: AttributesLike): unknown;
  /** Ends the span. */
  end(): void;
}

/** What is used of a `Tracer` of `@opentelemetry/api`. */
export interface TracerLike {
  /** Starts a span in the active context. */
  startSpan(name: string, options?: { attributes?: AttributesLike }): SpanLike;
}

/** The options of {@link openTelemetry}. At least one of them is needed. */
export interface OpenTelemetryOptions {
  /** For metrics: `metrics.getMeter("remint")` of `@opentelemetry/api`. @defaultValue none: no metrics */
  readonly meter?: MeterLike | undefined;
  /** For spans: `trace.getTracer("remint")` of `@opentelemetry/api`. @defaultValue none: no spans */
  readonly tracer?: TracerLike | undefined;
}

/**
 * Returns a listener for the option `onEvent` of token caches and pools that records metrics, and a span for each mint.
 *
 * A span is a child of the span that was active in the call that began the mint, and has no links. Durations are seconds. One
 * listener serves any number of caches and pools: create it once, and not for each cache, because an outage of a store is told
 * once to each listener. The key that a pool tells it is not recorded. It does not
 * throw: what the SDK throws is dropped.
 *
 * @throws {TypeError} When an option is wrong, or when there is neither a meter nor a tracer.
 * @see [Semantic conventions of OpenTelemetry](https://opentelemetry.io/docs/specs/semconv/)
 * @example
 * ```ts
 * const onEvent = openTelemetry({ meter: metrics.getMeter("remint"), tracer: trace.getTracer("remint") });
 * const tokens = createTokenCache({ grant, origins: ["https://api.example"], onEvent });
 * ```
 */
export function openTelemetry(options: OpenTelemetryOptions): EventListener {
  assertOptions("openTelemetry", options, ["meter", "tracer"]);
  const { meter, tracer } = options;
  if (meter !== undefined && typeof Object(meter).createHistogram !== "function") {
    throw optionError("meter", meter, 'a Meter, such as metrics.getMeter("remint") of @opentelemetry/api');
  }
  if (tracer !== undefined && typeof Object(tracer).startSpan !== "function") {
    throw optionError("tracer", tracer, 'a Tracer, such as trace.getTracer("remint") of @opentelemetry/api');
  }
  if (meter === undefined && tracer === undefined) {
    throw new TypeError('openTelemetry needs a "meter", a "tracer" or both: without them there is nothing to record');
  }
  const recordMetrics = meter && metricsRecorder(meter);
  const recordSpans = tracer && spansRecorder(tracer);
  return (event) => {
    safely(() => recordSpans?.(event));
    safely(() => recordMetrics?.(event));
  };
}

/** What throws, such as a view or a processor of the SDK, keeps nothing else from being recorded, and no caller's own listener. */
function safely(record: () => void): void {
  try {
    record();
  } catch {
    // Telemetry has no say in what happens to a token.
  }
}

/** The buckets that the semantic conventions advise for the durations of HTTP requests, in seconds, and longer ones. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60];
const CALLERS = [0, 1, 2, 5, 10, 25, 50, 100, 250, 1000, 10_000, 100_000];

function metricsRecorder(meter: MeterLike): EventListener {
  const histogram = (name: string, unit: string, bounds: readonly number[], description: string): HistogramLike => {
    const made = meter.createHistogram(name, { unit, description, advice: { explicitBucketBoundaries: [...bounds] } });
    return { record: (value, attributes) => safely(() => made.record(value, attributes)) };
  };
  const seconds = (name: string, description: string): HistogramLike => histogram(name, "s", SECONDS, description);
  const counter = (name: string, unit: string, description: string): CounterLike =>
    summed(meter.createCounter(name, { unit, description }));

  const mints = seconds("remint.mint.duration", "Duration of mints, from the moment the token was needed");
  const waiters = histogram("remint.mint.waiters", "{caller}", CALLERS, "Callers that were waiting when a mint ended");
  const adoptions = seconds("remint.adoption.duration", "Time until a token of another process was taken over");
  const renewals = seconds("remint.renewal.duration", "Time from a 401 of an API until there was another token");
  const failures = counter("remint.mint.failures", "{failure}", "Mints that failed");
  const retries = counter("remint.mint.retries", "{retry}", "Attempts that failed and were repeated");
  const rejections = counter(
    "remint.token.rejections",
    "{rejection}",
    "Tokens that an API rejected and that are replaced",
  );
  const refusals = counter("remint.renewal.refusals", "{refusal}", "401s that went to the caller: too many lately");
  const leases = counter("remint.lease.losses", "{loss}", "Mints during which another process took over");
  const sessions = counter(
    "remint.session.changes",
    "{change}",
    "Sign-ins, sign-outs, and sessions that were replaced",
  );
  const states = counter("remint.state.faults", "{fault}", "States, such as refresh tokens, unsaved or in doubt");
  const stores = counter("remint.store.changes", "{change}", "Outages of the store, and their ends");
  const skips = counter("remint.request.skips", "{request}", "Requests that were sent without a token");
  const degraded = summed(
    meter.createUpDownCounter("remint.store.degraded", { unit: "{store}", description: "Stores that fail now" }),
  );

  return (event) => {
    switch (event.name) {
      case "minted":
        mints.record(event.duration / 1000, mintAttributes(event));
        waiters.record(event.waiters, { [CAUSE]: event.cause });
        recordRenewal(renewals, event);
        break;
      case "adopted":
        adoptions.record(event.duration / 1000, { [CAUSE]: event.cause });
        recordRenewal(renewals, event);
        break;
      case "mint-failed":
        mints.record(event.duration / 1000, { ...mintAttributes(event), "error.type": event.error.code });
        waiters.record(event.waiters, { [CAUSE]: event.cause });
        failures.add(1, { ...mintAttributes(event), ...failureAttributes(event) });
        break;
      case "mint-retried":
        retries.add(1, errorAttributes(event.error));
        break;
      case "rejected":
        rejections.add(1);
        break;
      case "renewal-refused":
        refusals.add(1);
        break;
      case "lease-lost":
        leases.add(1);
        break;
      case "signed-in":
        sessions.add(1, { [SESSION_CHANGE]: "signed_in" });
        break;
      case "signed-out":
        sessions.add(1, { [SESSION_CHANGE]: "signed_out" });
        break;
      case "session-replaced":
        sessions.add(1, { [SESSION_CHANGE]: event.isEnded ? "ended_elsewhere" : "replaced" });
        break;
      case "state-unsaved":
        states.add(1, { [STATE_FAULT]: "unsaved" });
        break;
      case "state-in-doubt":
        states.add(1, { [STATE_FAULT]: "in_doubt" });
        break;
      case "store-failed":
        stores.add(1, { [STORE_STATE]: "degraded" });
        degraded.add(1);
        break;
      case "store-recovered":
        stores.add(1, { [STORE_STATE]: "recovered" });
        degraded.add(-1);
        break;
      case "skipped":
        skips.add(1, { "remint.skip.reason": event.reason });
        break;
      default:
      // A mint that begins or brings nothing has no duration, and what is forgotten is replaced: that counts.
    }
  };
}

function summed(made: CounterLike): CounterLike {
  return { add: (value, attributes) => safely(() => made.add(value, attributes)) };
}

/** The number by which OpenTelemetry says that a span is an error. */
const STATUS_ERROR = 2;

function spansRecorder(tracer: TracerLike): EventListener {
  const open = new Map<number, SpanLike>();
  const end = (id: number, outcome: string, attributes: AttributesLike, error?: RemintError): void => {
    const span = open.get(id);
    if (span === undefined) return;
    // First, so that a tracer that throws leaves nothing behind.
    open.delete(id);
    try {
      span.setAttributes({ "remint.mint.outcome": outcome, ...attributes });
      // The message is public. What is for the operator may name a URL, and stays in the event.
      if (error !== undefined) span.setStatus({ code: STATUS_ERROR, message: error.message });
    } finally {
      span.end();
    }
  };
  return (event) => {
    switch (event.name) {
      case "mint-started":
        open.set(event.id, tracer.startSpan("remint.mint", { attributes: mintAttributes(event) }));
        break;
      case "mint-retried":
        open.get(event.id)?.addEvent("remint.mint.retry", errorAttributes(event.error));
        break;
      case "minted":
      case "adopted":
        end(event.id, event.name, { [WAITERS]: event.waiters });
        break;
      case "mint-failed":
        end(event.id, "failed", { [WAITERS]: event.waiters, ...failureAttributes(event) }, event.error);
        break;
      case "mint-abandoned":
        end(event.id, "abandoned", { [WAITERS]: event.waiters });
        break;
      default:
      // What belongs to no mint of this process is counted, and has no span.
    }
  };
}

type EventNamed<Name extends RemintEvent["name"]> = Extract<RemintEvent, { readonly name: Name }>;

const CAUSE = "remint.mint.cause";
const WAITERS = "remint.mint.waiters";
const SESSION_CHANGE = "remint.session.change";
const STATE_FAULT = "remint.state.fault";
const STORE_STATE = "remint.store.state";

function recordRenewal(renewals: HistogramLike, event: EventNamed<"minted" | "adopted">): void {
  if (event.sinceRejection === undefined) return;
  renewals.record(event.sinceRejection / 1000, { "remint.renewal.source": event.name });
}

/** What a mint is known by: its cause, and the server that it asks. */
function mintAttributes({ cause, server }: EventNamed<"mint-started" | "minted" | "mint-failed">): AttributesLike {
  if (server === undefined) return { [CAUSE]: cause };
  const { hostname, port, protocol } = new URL(server);
  const address = hostname.replace(/^\[|\]$/g, "");
  const defaultPort = protocol === "http:" ? 80 : 443;
  return { [CAUSE]: cause, "server.address": address, "server.port": port === "" ? defaultPort : Number(port) };
}

function failureAttributes({ error, owner, servedStale }: EventNamed<"mint-failed">): AttributesLike {
  return { ...errorAttributes(error), "remint.failure.owner": owner, "remint.mint.served_stale": servedStale };
}

function errorAttributes({ code, endpointStatus, error }: RemintError): AttributesLike {
  return {
    "error.type": code,
    ...(endpointStatus !== undefined && { "http.response.status_code": endpointStatus }),
    ...(error !== undefined && { "remint.oauth.error": OAUTH_ERRORS.has(error) ? error : OTHER }),
  };
}

/** The `error` of an answer may be any text. Those that are registered are named. */
const OAUTH_ERRORS: ReadonlySet<string> = new Set([
  "access_denied",
  "interaction_required",
  "invalid_client",
  "invalid_dpop_proof",
  "invalid_grant",
  "invalid_request",
  "invalid_scope",
  "invalid_target",
  "server_error",
  "temporarily_unavailable",
  "unauthorized_client",
  "unsupported_grant_type",
  "use_dpop_nonce",
]);
/** What the semantic conventions write for a value that is not listed. */
const OTHER = "_OTHER";
