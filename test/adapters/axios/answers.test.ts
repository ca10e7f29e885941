/** Answers: `isRejected` rules that read them, adapters of the user's own, response types, failed mints. */
import axios, { type AxiosError, type AxiosInstance } from "axios";
import { findRemintError, isRemintError, type RejectionRule } from "remint";
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
  test("Q8: after a 401 the error has `rejected`, is no AxiosError, and goes through the response interceptors", async () => {
    await using stage = await Stage.open();
    await stage.warmAndRevoke();
    stage.grant.fail(new Error("the grant is broken"), Infinity);
    const seen: unknown[] = [];
    const client = clientOf(stage);
    client.interceptors.response.use(undefined, (error: Error) => {
      seen.push(error);
      return Promise.reject(error);
    });
    const error = await failureOf(client.get(`${stage.url}?secret=1`));
    expect([isRemintError(error), axios.isAxiosError(error), seen]).toEqual([true, false, [error]]);
    expect(findRemintError(error)?.rejected).toEqual({ status: 401, url: stage.url });
    expect(leakIn(error)).toBeUndefined();
    expect(stage.sends).toEqual(["fake-1"]);
  });
});
