/** Answers: `isRejected` rules that read them, adapters of the user's own, response types, failed mints. */
import axios, { type AxiosError, type AxiosInstance } from "axios";
import { isRemintError, type RejectionRule, RemintError } from "remint";
import { type AuthInterceptorOptions, createAuthInterceptor } from "remint/axios";
import { describe, expect, test } from "vitest";
import { failureOf, leakIn, Stage } from "./stage.ts";

function clientOf(stage: Stage, options: AuthInterceptorOptions = {}): AxiosInstance {
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, options));
  return client;
}

const expired: RejectionRule = async ({ text }) => (await text(1000)).includes("SESSION_EXPIRED") || undefined;

function throwing(): never {
  throw new Error("mine");
}

async function rejecting(): Promise<never> {
  throw "just text"; // oxlint-disable-line no-throw-literal, typescript/only-throw-error -- users do
}

async function bareRejection(config: unknown): Promise<unknown> {
  return { status: 401, config };
}

describe("isRejected", () => {
  test.each(["http", "fetch"])(
    "Q4: a rule reads the text of an answer, whatever the response type (%s)",
    async (adapter) => {
      for (const responseType of ["json", "text", "arraybuffer", undefined] as const) {
        await using stage = await Stage.open();
        await stage.tokens.get();
        stage.api.respond({ status: 400, body: { code: "SESSION_EXPIRED" } });
        const client = clientOf(stage, { isRejected: expired, inspectStatuses: [400] });
        const { status } = await client.get(stage.url, { adapter, responseType: responseType as "json" });
        expect([responseType, status, stage.sends]).toEqual([responseType, 200, ["fake-1", "fake-2"]]);
      }
    },
  );

  test("Q4: the caller gets the body that a rule has read, and a rule reads only as much as it asks for", async () => {
    await using stage = await Stage.open();
    stage.api.respondAlways({ status: 400, body: { code: "OTHER" } });
    const read: string[] = [];
    const isRejected: RejectionRule = async ({ status, header, text }) => {
      read.push(`${status} ${header("Content-Type")} ${header("x-none")} ${await text(5)}`);
      return undefined;
    };
    const client = clientOf(stage, { isRejected, inspectStatuses: [400] });
    const error = (await failureOf(client.get(stage.url))) as AxiosError;
    expect(error.response?.data).toEqual({ code: "OTHER" });
    expect([read, stage.grant.mints]).toEqual([['400 application/json null {"cod'], 1]);
  });

  test("Q4: a rule can declare a 200 a rejection, and a 401 none", async () => {
    await using stage = await Stage.open();
    stage.api.respond({ status: 200, body: "SESSION_EXPIRED" });
    const renewing = clientOf(stage, { isRejected: expired, inspectStatuses: [200] });
    expect((await renewing.get(stage.url)).data).toEqual({ ok: true, path: "/orders" });
    stage.api.respond({ status: 401, body: "no" });
    const error = (await failureOf(clientOf(stage, { isRejected: () => false }).get(stage.url))) as AxiosError;
    expect([error.response?.status, stage.sends]).toEqual([401, ["fake-1", "fake-2", "fake-2"]]);
  });
});

describe("adapters of the user's own", () => {
  test("Q5: a 401 is renewed once, whether the adapter rejects with it or resolves with it", async () => {
    for (const rejects of [true, false]) {
      await using stage = await Stage.open();
      const sent: unknown[] = [];
      const adapter = async (config: { headers: Record<string, unknown> }): Promise<unknown> => {
        sent.push(config.headers["Authorization"]);
        const response = { status: sent.length === 1 ? 401 : 200, statusText: "", headers: {}, data: "mine", config };
        if (rejects && response.status === 401) throw Object.assign(new Error("mine"), { response });
        return response;
      };
      const { status, data } = await clientOf(stage).get(stage.url, { adapter: adapter as never });
      expect([status, data, sent]).toEqual([200, "mine", ["Bearer fake-1", "Bearer fake-2"]]);
    }
  });

  test("Q10: what an adapter throws synchronously, or rejects with, reaches the caller unchanged, even if it is no Error", async () => {
    await using stage = await Stage.open();
    const client = clientOf(stage);
    expect(await failureOf(client.get(stage.url, { adapter: throwing }))).toMatchObject({ message: "mine" });
    expect(await failureOf(client.get(stage.url, { adapter: rejecting }))).toBe("just text");
    const error = await failureOf(client.get(stage.url, { adapter: "none-such" as never }));
    expect(error).toMatchObject({ message: expect.stringContaining("none-such") as string });
  });

  test("Q11: a frozen error, and one that is its own cause, reach the caller as they are", async () => {
    await using stage = await Stage.open();
    const circular = Object.assign(new Error("circular"), { request: {} });
    circular.cause = circular;
    const frozen = Object.freeze(Object.assign(new Error("frozen", { cause: circular }), { request: {} }));
    for (const error of [frozen, circular]) {
      const adapter = (): Promise<never> => Promise.reject(error);
      expect(await failureOf(clientOf(stage).get(stage.url, { adapter }))).toBe(error);
    }
    expect([Object.keys(frozen), Object.keys(circular)]).toEqual([["request"], ["cause"]]);
  });

  test("Q5: a response with neither headers nor data is judged by its status", async () => {
    await using stage = await Stage.open();
    const response = await clientOf(stage).get(stage.url, { adapter: bareRejection as never });
    expect([response.status, stage.grant.mints]).toEqual([401, 2]);
  });
});

describe("response types", () => {
  test("Q7: a 401 that the fetch adapter returns as a stream is read and renewed", async () => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    const rejected: Response[] = [];
    const env = {
      fetch: async (...args: Parameters<typeof fetch>): Promise<Response> => {
        const response = await fetch(...args);
        if (response.status === 401) rejected.push(response);
        return response;
      },
    };
    const config = { adapter: "fetch", responseType: "stream", env };
    expect((await clientOf(stage).get(stage.url, config as object)).status).toBe(200);
    expect(rejected.map(({ bodyUsed }) => bodyUsed)).toEqual([true]);
    expect(stage.sends).toEqual(["fake-1", "fake-2"]);
  });
});

describe("failed mints", () => {
  test("Q17: the error of a source is an AxiosError too: a function that throws or rejects with an error of ours, and one whose cache fails", async () => {
    await using stage = await Stage.open();
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const closed = new RemintError("ERR_CLOSED", "the pool was closed");
    const sources: [source: Parameters<typeof createAuthInterceptor>[0], code: string][] = [
      [
        () => {
          throw closed;
        },
        "ERR_CLOSED",
      ],
      [() => Promise.reject(closed), "ERR_CLOSED"],
      [async () => stage.tokens, "ERR_GRANT"],
    ];
    for (const [source, code] of sources) {
      const client = axios.create();
      client.interceptors.request.use(createAuthInterceptor(source));
      const error = (await failureOf(client.get(stage.url))) as AxiosError;
      expect([error instanceof axios.AxiosError, isRemintError(error), error.code]).toEqual([true, true, code]);
      expect(error.config?.url).toBe(stage.url);
    }
    expect(stage.sends).toEqual([]);
  });

  test("Q8, Q17: after a 401 the error has `rejected`, is an AxiosError with `config`, and goes through the response interceptors", async () => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const seen: unknown[] = [];
    const client = clientOf(stage);
    client.interceptors.response.use(undefined, (error: Error) => {
      seen.push(error);
      return Promise.reject(error);
    });
    const error = (await failureOf(client.get(`${stage.url}?secret=1`))) as AxiosError & RemintError;
    expect([isRemintError(error), axios.isAxiosError(error), seen]).toEqual([true, true, [error]]);
    expect(error.rejected).toEqual({ status: 401, url: stage.url });
    expect([error.config?.url, error.config?.method, error.response]).toEqual([
      `${stage.url}?secret=1`,
      "get",
      undefined,
    ]);
    expect((error.cause as Error).message).toBe("the grant is broken");
    expect([leakIn(error), leakIn(error.toJSON()), leakIn(error.config)]).toEqual([undefined, undefined, undefined]);
    expect(stage.sends).toEqual(["fake-1"]);
  });
});
