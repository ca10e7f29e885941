/** Q8: what the caller gets when an answer rejected the token and no other one can be had. */
import type { Readable } from "node:stream";
import axios, { type AxiosError, type AxiosInstance, type AxiosRequestConfig, type AxiosStatic } from "axios";
import oldAxios from "axios-1.7.9";
import { isRemintError, RemintError } from "remint";
import { type AuthInterceptorOptions, createAuthInterceptor } from "remint/axios";
import { afterEach, describe, expect, test, vi } from "vitest";
import { failureOf, leakIn, Stage } from "./stage.ts";

afterEach(() => void vi.restoreAllMocks());

const copies: [version: string, copy: AxiosStatic][] = [
  ["1.7.9", oldAxios as unknown as AxiosStatic],
  ["installed", axios],
];

const over = new RemintError("ERR_SESSION", "the session is over", { terminal: true });

interface Setting {
  readonly stage: Stage;
  readonly client: AxiosInstance;
  /** The same client without the interceptor. */
  readonly alone: AxiosInstance;
}

/** Prepares a client whose token is rejected with this answer, and whose mint fails with this error. */
async function rejected(
  stage: Stage,
  answer: object,
  config: AxiosRequestConfig = {},
  options: AuthInterceptorOptions = {},
  error: Error = over,
  copy: AxiosStatic = axios,
): Promise<Setting> {
  await stage.tokens.get();
  stage.grant.fail(error, Infinity);
  stage.api.respondAlways({ status: 401, headers: { "x-reason": "over" }, ...answer });
  const client = copy.create(config);
  client.interceptors.request.use(createAuthInterceptor(stage.tokens, { axios: copy, ...options }));
  return { stage, client, alone: copy.create({ ...config, headers: { authorization: "Bearer other" } }) };
}

/** What an error shows of itself, without what differs between two calls. */
function shown({ name, message, code, status, response }: AxiosError): object {
  const { data, headers, statusText } = response ?? {};
  // oxlint-disable-next-line typescript/no-misused-spread -- what is spread is a plain copy here
  const { date: _, ...rest } = { ...headers } as Record<string, unknown>;
  return { name, message, code, status, answer: response?.status, statusText, data, headers: rest };
}

async function textOf(data: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of data) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

describe.each(copies)("axios %s", (_version, copy) => {
  describe.each(["http", "fetch"])("adapter %s", (adapter) => {
    test("Q8: when the session is over, the caller gets the 401 as axios alone gives it", async () => {
      await using stage = await Stage.open();
      const body = { error: "session_over" };
      const { client, alone } = await rejected(stage, { body }, { adapter }, {}, over, copy);
      const error = (await failureOf(client.get(stage.url))) as AxiosError;
      expect(shown(error)).toEqual(shown((await failureOf(alone.get(stage.url))) as AxiosError));
      expect([copy.isAxiosError(error), isRemintError(error), error.response?.data]).toEqual([true, false, body]);
      expect([leakIn(error), stage.sends, stage.grant.mints]).toEqual([undefined, ["fake-1", "other"], 2]);
    });

    test("Q8: with a status that the caller allows, the 401 is an answer", async () => {
      await using stage = await Stage.open();
      const config = { adapter, validateStatus: null };
      const { client } = await rejected(stage, { body: "over" }, config, {}, over, copy);
      const { status, data, config: sent } = await client.get<string>(stage.url);
      expect([status, data, leakIn(sent)]).toEqual([401, "over", undefined]);
    });

    test("Q8: a 401 that is a stream can be read, although it was read before the mint", async () => {
      for (const length of [0, 10, 64 * 1024]) {
        await using stage = await Stage.open();
        const body = "x".repeat(length);
        const { client } = await rejected(stage, { body }, { adapter, responseType: "stream" }, {}, over, copy);
        const { response } = (await failureOf(client.get(stage.url))) as AxiosError<Readable>;
        expect([length, response?.status, await textOf(response!.data)]).toEqual([length, 401, body]);
        expect(response?.headers["x-reason"]).toBe("over");
        expect(response?.headers["content-length"]).toBe(String(length));
      }
    });

    test("Q8: of a stream of more than 64 KiB the caller gets the first 64 KiB, without a length", async () => {
      await using stage = await Stage.open();
      const body = "x".repeat(200 * 1024);
      const { client } = await rejected(stage, { body }, { adapter, responseType: "stream" }, {}, over, copy);
      const { response } = (await failureOf(client.get(stage.url))) as AxiosError<Readable>;
      expect(await textOf(response!.data)).toBe("x".repeat(64 * 1024));
      expect(Object.keys(response!.headers)).not.toContain("content-length");
    });

    test("Q8: failedRenewal decides: the error of this package, or the 401", async () => {
      const broken = new Error("the grant is broken");
      for (const [failedRenewal, failure] of [
        ["throw", over],
        ["response", over],
        ["response", broken],
        [undefined, broken],
      ] as const) {
        await using stage = await Stage.open();
        const { client } = await rejected(stage, { body: "no" }, { adapter }, { failedRenewal }, failure, copy);
        const error = (await failureOf(client.get(stage.url))) as AxiosError;
        const isAnswer = failedRenewal === "response";
        expect([failedRenewal, error.response?.status, isRemintError(error), copy.isAxiosError(error)]).toEqual([
          failedRenewal,
          isAnswer ? 401 : undefined,
          !isAnswer,
          true,
        ]);
      }
    });
  });
});

test("Q8: an answer that another interceptor of ours judged follows that one's failedRenewal", async () => {
  await using stage = await Stage.open();
  const { client } = await rejected(stage, { body: "no" });
  vi.spyOn(process, "emitWarning").mockImplementation(() => {});
  const later = stage.cache();
  stage.grant.recover();
  await later.get();
  stage.grant.fail(over, Infinity);
  client.interceptors.request.use(createAuthInterceptor(later, { failedRenewal: "throw" }));
  expect(isRemintError(await failureOf(client.get(stage.url)))).toBe(true);
});

test("Q8: where Node's streams cannot be reached, the 401 that is a stream arrives without its body", async () => {
  await using stage = await Stage.open();
  const { client } = await rejected(stage, { body: "over" }, { responseType: "stream" });
  // oxlint-disable-next-line typescript/unbound-method -- it reads nothing of its object
  const { getBuiltinModule } = process;
  Object.assign(process, { getBuiltinModule: undefined });
  const error = failureOf(client.get(stage.url)).finally(() => Object.assign(process, { getBuiltinModule }));
  expect(((await error) as AxiosError).response?.status).toBe(401);
});

test("Q17: what a function of the user's threw is the cause of the error, that very object", async () => {
  class SignedOutError extends Error {}
  const own = new SignedOutError("mine");
  await using stage = await Stage.open({
    grant: () => {
      throw own;
    },
  });
  const client = axios.create();
  client.interceptors.request.use(createAuthInterceptor(stage.tokens));
  const error = (await failureOf(client.get(stage.url))) as AxiosError;
  expect([axios.isAxiosError(error), error.cause === own, Object.keys(error).includes("cause")]).toEqual([
    true,
    true,
    false,
  ]);
});
