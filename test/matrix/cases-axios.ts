/** What only axios has: configs, transforms, interceptors, response types, limits and AxiosError. */
import type { AxiosInstance, AxiosRequestConfig } from "axios";
import { BYTES, formOf } from "./cases-requests.ts";
import type { Case, Io } from "./run.ts";

const families = ["axios/http", "axios/fetch", "axios/xhr"] as const;
const http = ["axios/http"] as const;

/** A case of one request, made as a user of axios makes it. */
function requests(name: string, config: (io: Io) => object, more: Partial<Case> = {}, defaults: object = {}): Case {
  return { name, families, run: (io) => io.outcome(io.axios(defaults).request(config(io))), ...more };
}

function calls(name: string, call: (axios: AxiosInstance, io: Io) => unknown, more: Partial<Case> = {}): Case {
  return { name, families, run: (io) => io.outcome((async () => call(io.axios(), io))()), ...more };
}

/** A config of one request to a route, with these members. */
const to =
  (route: string, config: AxiosRequestConfig = {}) =>
  (io: Io): object => ({ url: io.url(route), ...config });

const needsNode: Case["unfit"] = (_client, { node }) => (node === undefined ? "no Node modules" : undefined);
/** A stream has its own case in cases-answers.ts. */
const types = ["json", "text", "arraybuffer", "blob"] as const;

const bodies = [
  "json",
  "charset",
  "problem",
  "number",
  "null",
  "string",
  "broken",
  "bom",
  "text",
  "html",
  "untyped",
  "empty",
];

const timed: Partial<Case> = {
  looseWire: "the time may be over before the request is sent",
  mixed: "the time may be over before the request is sent",
  not: {
    // Then nothing has been sent, so the error has no request: test/adapters/axios/timeout.test.ts.
    waits: "the time may be over before there is a token",
    rejected: "the time may be over before the resend",
  },
};

export const axiosCases: readonly Case[] = [
  calls("Q15: get", (axios, io) => axios.get(io.url("/echo"), { headers: { "X-Mine": "1" } })),
  calls("Q15: post, put and patch with an object", async (axios, io) => [
    await axios.post(io.url("/echo"), { a: 1 }),
    await axios.put(io.url("/echo"), { a: 1 }),
    await axios.patch(io.url("/echo"), { a: 1 }),
  ]),
  calls("Q15: delete, head and options", async (axios, io) => [
    await axios.delete(io.url("/echo"), { data: { a: 1 } }),
    await axios.head(io.url("/echo")),
    await axios.options(io.url("/echo")),
  ]),
  calls("Q15: postForm with nested values", (axios, io) =>
    axios.postForm(io.url("/echo"), { a: 1, b: { c: "ü" }, d: [1, 2] }),
  ),
  calls("Q15: postForm with a FormData", (axios, io) => axios.postForm(io.url("/echo"), formOf(FormData))),
  calls("Q15: the instance called as a function, with a URL and a config", (axios, io) =>
    axios(io.url("/echo"), { method: "post", data: "x" }),
  ),
  requests(
    "Q15: params beside the query of the URL",
    to("/echo?a=0", { params: { a: 1, b: ["x", "y"], c: { d: 1 }, e: null, f: "ü ö" } }),
  ),
  requests("Q15: URLSearchParams as params", to("/echo", { params: new URLSearchParams("a=1&a=2") })),
  requests("Q15: a paramsSerializer", to("/echo", { params: { a: [1, 2] }, paramsSerializer: { indexes: null } })),
  requests("Q15: a base URL and a path", (io) => ({ baseURL: io.base(), url: "/echo", params: { a: 1 } })),
  requests("Q15: a base URL with a slash and a path without", (io) => ({ baseURL: `${io.base()}/`, url: "echo" })),
  requests("Q15: a base URL and an absolute URL", (io) => ({
    baseURL: "http://nowhere.invalid",
    url: io.url("/echo"),
  })),
  requests(
    "Q15: an object as data with a form's content type",
    to("/echo", {
      method: "post",
      data: { a: 1, b: { c: "ü" }, d: [1, 2] },
      headers: { "content-type": "application/x-www-form-urlencoded" },
    }),
  ),
  requests(
    "Q15: an object as data with a multipart content type",
    to("/echo", {
      method: "post",
      data: { a: 1, b: "ü" },
      headers: { "Content-Type": "multipart/form-data" },
    }),
  ),
  requests(
    "Q15: a text as data with a JSON content type",
    to("/echo", {
      method: "post",
      data: "text",
      headers: { "Content-Type": "application/json" },
    }),
  ),
  requests("Q15: a number, true and null as data", to("/echo", { method: "post", data: 5 })),
  requests("Q15: an array as data", to("/echo", { method: "put", data: [1, { a: 2 }] })),
  requests("Q15: a date inside of data", to("/echo", { method: "post", data: { at: new Date(0) } })),
  requests("Q15: data of a GET", to("/echo", { method: "get", data: { a: 1 } })),
  requests(
    "Q15: a content type that is false",
    to("/echo", { method: "post", data: "x", headers: { "Content-Type": false as never } }),
  ),
  requests("Q15: an Accept that is null", to("/echo", { headers: { Accept: null as never } })),
  requests(
    "Q15: headers of the instance for every method and for one",
    to("/echo", { method: "post", data: "x", headers: { "x-call": "1" } }),
    {},
    {
      headers: { common: { "X-Common": "1" }, post: { "X-Post": "1" }, get: { "X-Get": "1" } },
    },
  ),
  calls("Q15: headers that are set on the defaults after create", (axios, io) => {
    axios.defaults.headers.common["X-Later"] = "1";
    return axios.get(io.url("/echo"));
  }),
  ...types.map((responseType) => requests(`Q15: responseType ${responseType}`, to("/body/json", { responseType }))),
  requests("Q15: responseType arraybuffer with bytes", to("/body/bytes", { responseType: "arraybuffer" })),
  requests(
    "Q15: responseType json with JSON that breaks off",
    to("/body/broken", { responseType: "json", transitional: { silentJSONParsing: false } }),
  ),
  requests("Q15: responseEncoding latin1", to("/body/latin1", { responseEncoding: "latin1" })),
  ...bodies.map((body) => requests(`Q15: the parsed answer of the body "${body}"`, to(`/body/${body}`))),
  ...[400, 403, 404, 422, 500, 503].map((status) =>
    requests(`Q15: the AxiosError of a ${status}`, to(`/status/${status}`)),
  ),
  requests("Q15: validateStatus that wants a 404", to("/status/404", { validateStatus: (status) => status === 404 })),
  requests("Q15: validateStatus that refuses a 200", to("/echo", { validateStatus: () => false })),
  requests("Q15: validateStatus that is null", to("/status/500", { validateStatus: null })),
  requests("Q15: maxRedirects: 0", to("/redirect/302?to=PREFIX/landed", { maxRedirects: 0 })),
  requests(
    "Q15: maxRedirects: 1 and two redirects",
    to("/redirect/302?to=PREFIX/redirect/302?to=PREFIX/landed", { maxRedirects: 1 }),
  ),
  requests("Q15: maxContentLength", to("/body/big", { maxContentLength: 1000 })),
  requests("Q15: maxBodyLength", to("/echo", { method: "post", data: "x".repeat(2000), maxBodyLength: 1000 }), {
    families: http,
    not: { rejected: "nothing is sent" },
    looseWire: "a part may be sent",
    mixed: "a part may be sent",
  }),
  requests("Q15: decompress: false", to("/coded/gzip", { decompress: false, responseType: "arraybuffer" })),
  requests("Q1: auth", to("/echo", { auth: { username: "user", password: "pass" } }), {
    bare: "the caller has authorized the request",
  }),
  requests("Q1: user:password@ in the URL", (io) => ({ url: io.url("/echo").replace("//", "//user:password@") }), {
    bare: "the caller has authorized the request",
  }),
  requests(
    "Q9: transformRequest and transformResponse",
    to("/body/json", {
      method: "post",
      data: { a: 1 },
      transformRequest: [(data, headers) => ((headers["X-Transformed"] = "1"), JSON.stringify({ wrapped: data }))],
      transformResponse: [(data) => ({ length: String(data).length })],
    }),
  ),
  requests(
    "Q9: transformResponse that throws",
    to("/body/json", {
      transformResponse: () => {
        throw new Error("not what was expected");
      },
    }),
  ),
  {
    name: "Q9: request and response interceptors, and their order",
    families,
    async run(io) {
      const seen: string[] = [];
      const axios = io.axios();
      axios.interceptors.request.use((config) => {
        seen.push(`first ${String(config.headers.get("x-set"))}`);
        config.headers.set("x-interceptor", "1");
        return config;
      });
      axios.interceptors.request.use(async (config) => {
        await Promise.resolve();
        seen.push("second");
        config.headers.set("x-set", "2");
        return config;
      });
      axios.interceptors.request.use((config) => (seen.push("never"), config), undefined, { runWhen: () => false });
      axios.interceptors.response.use(
        (response) => (seen.push(`answer ${response.status}`), response),
        (error: Error) => {
          seen.push(`failure ${error.message}`);
          return Promise.reject(error);
        },
      );
      const answers = [
        await io.outcome(axios.get(io.url("/echo"))),
        await io.outcome(axios.get(io.url("/status/404"))),
      ];
      return { answers, seen };
    },
  },
  {
    name: "Q9: synchronous interceptors",
    families,
    async run(io) {
      const axios = io.axios();
      const add = (name: string): unknown =>
        axios.interceptors.request.use((config) => (config.headers.set(name, "1"), config), undefined, {
          synchronous: true,
        });
      add("x-one");
      add("x-two");
      return io.outcome(axios.get(io.url("/echo")));
    },
  },
  {
    name: "Q9: a request interceptor that throws",
    families,
    bare: "nothing is sent",
    async run(io) {
      const axios = io.axios();
      axios.interceptors.request.use(() => {
        throw new Error("not today");
      });
      return io.outcome(axios.get(io.url("/echo")));
    },
  },
  {
    name: "Q10: the config of a response and of an error, sent again",
    families,
    async run(io) {
      const axios = io.axios();
      const good = await axios.get<unknown>(io.url("/body/json"), { headers: { "X-Mine": "1" } });
      const bad: { config: AxiosRequestConfig } = await axios.get(io.url("/status/404")).then(
        () => Promise.reject(new Error("no 404")),
        (error) => io.caught(error),
      );
      // Of another call each, because the API answers the first request of a call with 401.
      good.config.url = io.url("/echo");
      bad.config.url = io.url("/echo");
      return [await io.outcome(axios.request(good.config)), await io.outcome(axios.request(bad.config))];
    },
  },
  {
    name: "Q10: the config and the defaults of the caller after the call",
    families,
    async run(io) {
      const defaults = { headers: { common: { "x-default": "1" } }, timeout: 9000 };
      const config = Object.freeze({
        url: io.url("/echo"),
        method: "post",
        data: Object.freeze({ a: 1 }),
        headers: Object.freeze({ "x-mine": "1" }),
      });
      const axios = io.axios(defaults);
      const answer = await io.outcome(axios.request(config));
      return { answer, defaults, config, own: axios.defaults };
    },
  },
  {
    name: "Q15: an error's toJSON, and its request",
    families,
    async run(io) {
      const error: { toJSON(): { config: unknown; message: string }; request: unknown } = await io
        .axios()
        .get(io.url("/status/500"))
        .then(
          () => Promise.reject(new Error("no 500")),
          (thrown) => io.caught(thrown),
        );
      const { config, message } = error.toJSON();
      return { config, message, request: error.request !== undefined };
    },
  },
  requests("Q12: timeout while the answer is awaited", to("/hang", { timeout: 300 }), timed),
  requests(
    "Q12: timeout with a message of the caller's own",
    to("/hang", { timeout: 300, timeoutErrorMessage: "too slow" }),
    timed,
  ),
  requests(
    "Q12: timeout with clarifyTimeoutError",
    to("/hang", { timeout: 300, transitional: { clarifyTimeoutError: true } }),
    timed,
  ),
  requests("Q12: a timeout as text, and a fast answer", to("/echo", { timeout: "9000" as never })),
  requests("Q12: a timeout that is no number", to("/echo", { timeout: "soon" as never }), {
    unfit: ({ family }) =>
      family === "axios/fetch"
        ? "the fetch adapter takes it for no time at all: the answer may be there first"
        : undefined,
    not: { rejected: "the http adapter sends nothing" },
    mixed: "the http adapter sends nothing",
  }),
  {
    name: "Q12: a cancel token while the answer is awaited",
    families,
    async run(io) {
      const axios = io.axios();
      const { token, cancel } = io.client.axios!.CancelToken.source();
      const answer = io.outcome(axios.get(io.url("/hang"), { cancelToken: token }));
      await io.arrived(1);
      cancel("enough");
      return answer;
    },
  },
  {
    name: "Q12: an abort in the middle of the body",
    families,
    run(io) {
      const controller = new AbortController();
      const onDownloadProgress = ({ loaded }: { loaded: number }): void => {
        if (loaded === "half".length) controller.abort();
      };
      return io.outcome(io.axios().get(io.url("/half"), { signal: controller.signal, onDownloadProgress }));
    },
  },
  {
    name: "Q9: progress of a download is that of the answer that the caller gets",
    families,
    not: { rejected: "the body of the 401 is read too, and its progress is told: a documented limit" },
    async run(io) {
      const seen = new Set<number>();
      const onDownloadProgress = ({ loaded }: { loaded: number }): unknown => seen.add(loaded);
      const answer = await io.outcome(io.axios().get(io.url("/echo"), { onDownloadProgress }));
      return { answer, seen: [...seen] };
    },
  },
  {
    name: "Q15: progress of an upload and of a download",
    families,
    async run(io) {
      const seen = new Set<string>();
      const answer = await io.outcome(
        io.axios().post(io.url("/body/bytes"), BYTES, {
          onUploadProgress: ({ loaded, total }) => loaded === total && seen.add(`up ${loaded}`),
          onDownloadProgress: ({ loaded, total }) => loaded === total && seen.add(`down ${loaded}`),
        }),
      );
      return { answer, seen: [...seen].toSorted() };
    },
  },
  calls("Q15: getUri", (axios) => axios.getUri({ url: "/a", params: { b: 1 } }), { bare: "nothing is sent" }),
  {
    name: "Q15: an adapter that is a function of the caller's",
    families: http,
    bare: "nothing is sent",
    async run(io) {
      const seen: unknown[] = [];
      const adapter = (config: { url: string; method: string; headers: { get(name: string): unknown } }): unknown => {
        seen.push([config.url, config.method, config.headers.get("x-mine")]);
        return Promise.resolve({ status: 200, statusText: "mine", headers: {}, data: '{"a":1}', config, request: {} });
      };
      const answer = await io.outcome(io.axios({ adapter }).get(io.url("/echo"), { headers: { "x-mine": "1" } }));
      return { answer, seen };
    },
  },
  {
    name: "Q15: beforeRedirect of the caller",
    families: http,
    async run(io) {
      const seen: unknown[] = [];
      const config = {
        beforeRedirect: (options: { [name: string]: unknown; headers?: unknown }) => {
          seen.push(options["path"]);
          Object.assign(options.headers as object, { "x-redirected": "1" });
        },
      };
      const answer = await io.outcome(io.axios().get(io.url("/redirect/302?to=PREFIX/landed"), config));
      return { answer, seen };
    },
  },
  {
    name: "Q15, Q11: an httpAgent of the caller, and the error of a 500",
    families: http,
    unfit: needsNode,
    async run(io) {
      const httpAgent = new io.ground.node!.Agent({ keepAlive: true, maxSockets: 1 });
      try {
        const axios = io.axios({ httpAgent });
        return [await io.outcome(axios.get(io.url("/echo"))), await io.outcome(axios.get(io.url("/status/500")))];
      } finally {
        httpAgent.destroy();
      }
    },
  },
  {
    name: "Q11: a stream that is aborted after its answer, and its error",
    families: http,
    unfit: needsNode,
    async run(io) {
      const controller = new AbortController();
      const { data } = await io
        .axios()
        .get<NodeJS.ReadableStream>(io.url("/half"), { responseType: "stream", signal: controller.signal });
      const failed = new Promise((resolve) => data.once("error", resolve));
      data.resume();
      controller.abort();
      return io.outcome(failed.then((error) => Promise.reject(error as Error)));
    },
  },
  {
    name: "Q11: a stream that becomes too long, and its error",
    families: http,
    unfit: needsNode,
    async run(io) {
      const config = { responseType: "stream", maxContentLength: 1000 } as const;
      return io.outcome(
        io
          .axios()
          .get<NodeJS.ReadableStream>(io.url("/body/big"), config)
          .then(
            ({ data }) => new Promise((resolve, reject) => data.resume().once("error", reject).once("end", resolve)),
          ),
      );
    },
  },
];
