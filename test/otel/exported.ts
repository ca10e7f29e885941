/**
 * What the SDK of OpenTelemetry exports, as lines that a test can read. No line has a time: durations are those of a manual
 * clock, and the spans stand in the order in which they began.
 */
import { context, SpanStatusCode, type Attributes } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  PeriodicExportingMetricReader,
  type MetricData,
} from "@opentelemetry/sdk-metrics";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
  type SpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { openTelemetry } from "remint/otel";
import type { EventListener } from "remint";

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());

/** The listener of `remint/otel` over a real SDK. */
export interface Telemetry {
  readonly onEvent: EventListener;
  /** Runs a call with a span, as an instrumented server does for a request. */
  request<T>(name: string, call: () => Promise<T>): Promise<T>;
  /** Every metric since the beginning: name, attributes, and the value; of histograms the count and the sum. */
  metrics(): Promise<string[]>;
  /** Every span that has ended, children below their parents. */
  spans(): string[];
  /** Everything that was exported. */
  all(): Promise<string>;
}

let idCount = 0;
const nextId = (digits: number): string => (++idCount).toString(16).padStart(digits, "0");

/** Starts an SDK that exports into memory. */
export function startTelemetry(): Telemetry {
  const exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  // It is only flushed by hand.
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 2 ** 30 });
  const meters = new MeterProvider({ readers: [reader] });
  const ended = new InMemorySpanExporter();
  const begun: string[] = [];
  const order: SpanProcessor = {
    onStart: (span) => void begun.push(span.spanContext().spanId),
    onEnd: () => {},
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  const tracers = new BasicTracerProvider({
    // Not at random, because a test may fix what is random.
    idGenerator: { generateTraceId: () => nextId(32), generateSpanId: () => nextId(16) },
    spanProcessors: [order, new SimpleSpanProcessor(ended)],
  });
  const tracer = tracers.getTracer("test");
  const exported = async (): Promise<MetricData[]> => {
    exporter.reset();
    await reader.forceFlush();
    return exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics.flatMap(({ metrics }) => metrics));
  };
  return {
    onEvent: openTelemetry({ meter: meters.getMeter("remint"), tracer: tracers.getTracer("remint") }),
    request: (name, call) =>
      tracer.startActiveSpan(name, async (span) => {
        try {
          return await call();
        } finally {
          span.end();
        }
      }),
    metrics: async () => (await exported()).flatMap(linesOfMetric),
    spans: () => linesOfSpans(ended.getFinishedSpans(), begun),
    async all() {
      const spans = ended.getFinishedSpans().map(({ name, attributes, events, status, links, kind }) => {
        return { name, attributes, events, status, links, kind };
      });
      return JSON.stringify([await exported(), spans]);
    },
  };
}

function linesOfMetric({ descriptor, dataPoints, dataPointType }: MetricData): string[] {
  return dataPoints.map(({ attributes, value }) => {
    const shown = dataPointType === DataPointType.HISTOGRAM ? histogramValue(value as never) : String(value as number);
    return `${descriptor.name} ${shown} ${descriptor.unit}${list(attributes)}`;
  });
}

function histogramValue({ count, sum }: { readonly count: number; readonly sum: number }): string {
  return `${count} x, sum ${Number(sum.toFixed(6))}`;
}

function linesOfSpans(spans: readonly ReadableSpan[], begun: readonly string[]): string[] {
  const place = (span: ReadableSpan): number => begun.indexOf(span.spanContext().spanId);
  const inOrder = spans.toSorted((a, b) => place(a) - place(b));
  const ids = new Set(spans.map((span) => span.spanContext().spanId));
  const below = (parent: string | undefined, depth: number): string[] =>
    inOrder
      .filter(({ parentSpanContext: of }) => (of && ids.has(of.spanId) ? of.spanId : undefined) === parent)
      .flatMap((span) => [`${"  ".repeat(depth)}${lineOfSpan(span)}`, ...below(span.spanContext().spanId, depth + 1)]);
  return below(undefined, 0);
}

function lineOfSpan({ name, attributes, status, events, links }: ReadableSpan): string {
  const failed = status.code === SpanStatusCode.ERROR ? `, error "${status.message ?? ""}"` : "";
  const linked = links.length === 0 ? "" : `, ${links.length} links`;
  const told = events.map((event) => `; event ${event.name}${list(event.attributes ?? {})}`);
  return `${name}${list(attributes)}${failed}${linked}${told.join("")}`;
}

/** The port of a server on loopback is another in every run. */
function list(attributes: Attributes): string {
  const entries = Object.entries(attributes).map(
    ([name, value]) => `${name}=${name === "server.port" ? "PORT" : String(value)}`,
  );
  return entries.length === 0 ? "" : ` {${entries.join(" ")}}`;
}
