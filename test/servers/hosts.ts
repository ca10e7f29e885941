/**
 * Runs the lines of docs/servers.md: one HTTP server on this machine stands for all the hosts that they name. What a host
 * answers is in the tests. It refuses what it does not expect, and the test then fails with what was wrong.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingHttpHeaders } from "node:http";
import { join } from "node:path";
import { jwtVerify, type CryptoKey, type JWTPayload, type KeyObject } from "jose";
import { expect, onTestFinished, vi } from "vitest";
import { originOf } from "../grants/token-server.ts";
import { codeBlocks, ROOT } from "../house/markdown.ts";

export const GUIDE = "docs/servers.md";

/** A request, with the URL that the lines gave it. */
export interface Asked {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly form: URLSearchParams;
}

export interface Answered {
  readonly status?: number;
  readonly body: unknown;
}

type Host = (asked: Asked) => Answered | Promise<Answered>;

/** The hosts of one test. */
export interface Hosts {
  readonly asked: readonly Asked[];
  /** The folder that stands for the folders of secrets and tokens of the lines. */
  readonly folder: string;
  /** What was wrong with requests. Empty at the end of every test. */
  readonly problems: string[];
  /** Says how `METHOD URL` is answered, the query left out. */
  on(what: string, host: Host): void;
  /** How often `METHOD URL` was asked. */
  count(what: string): number;
}

/** A request that a host does not take. */
class Refusal extends Error {}

/** Refuses the request, as a server that checks it would. */
export function must(isRight: boolean, problem: string): asserts isRight {
  if (!isRight) throw new Refusal(problem);
}

/** Starts the hosts for one test. Every fetch leads to them. */
export async function startHosts(): Promise<Hosts> {
  const [asked, problems, hosts] = [[] as Asked[], [] as string[], new Map<string, Host>()];
  const answer = async (request: Asked): Promise<Answered> => {
    const what = nameOf(request);
    const host = hosts.get(what);
    try {
      must(host !== undefined, "nobody answers");
      return await host(request);
    } catch (error) {
      problems.push(`${what}: ${(error as Error).message}`);
      return { status: 400, body: { error: "invalid_request" } };
    }
  };
  const server = createServer(async (incoming, response) => {
    let text = "";
    for await (const chunk of incoming.setEncoding("utf8")) text += chunk as string;
    const url = new URL(decodeURIComponent(incoming.url!.slice(1)));
    const { method = "", headers } = incoming;
    const request = { method, url, headers, text, form: new URLSearchParams(text) };
    asked.push(request);
    const { status = 200, body } = await answer(request);
    response.writeHead(status, { "content-type": typeof body === "string" ? "text/plain" : "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { fetch } = globalThis;
  vi.stubGlobal("fetch", (input: string | URL, init?: RequestInit) =>
    fetch(`${originOf(server)}/${encodeURIComponent(String(input))}`, init),
  );
  mkdirSync(join(ROOT, ".tmp"), { recursive: true });
  const folder = mkdtempSync(join(ROOT, ".tmp/servers-"));
  onTestFinished(() => {
    vi.unstubAllGlobals();
    vi.unstubAllEnvs();
    rmSync(folder, { recursive: true });
    server.closeAllConnections();
    server.close();
    expect(problems).toEqual([]);
  });
  return {
    asked,
    folder,
    problems,
    on: (what, host) => void hosts.set(what, host),
    count: (what) => asked.filter((request) => nameOf(request) === what).length,
  };
}

function nameOf({ method, url }: Asked): string {
  return `${method} ${url.origin}${url.pathname}`;
}

/** The headings of the page. */
export const HEADINGS: readonly { readonly name: string; readonly line: number }[] = readFileSync(
  join(ROOT, GUIDE),
  "utf8",
)
  .split("\n")
  .flatMap((text, index) => (text.startsWith("## ") ? [{ name: text.slice(3), line: index + 1 }] : []));

/** The lines that have been run, by the number of the line above them. */
export const ran = new Set<number>();

/**
 * Runs a block of lines and returns what it exports.
 *
 * @param section The heading above it; "" for the lines above all headings.
 * @param nth The first block of a section is 0.
 */
export async function run<Exports>(
  { folder }: Pick<Hosts, "folder">,
  section: string,
  nth = 0,
  edit = (code: string): string => code,
): Promise<Exports> {
  const block = blocksOf(section)[nth];
  if (block === undefined) throw new Error(`${GUIDE} has no block ${nth} in "${section}"`);
  ran.add(block.line);
  const code = block.code.replace(/"(?:\/var)?\/run\/secrets\/(?:[^"]*\/)?([^"/]+)"/g, (_all, name: string) =>
    JSON.stringify(join(folder, name)),
  );
  const file = join(folder, `block-${Math.random()}.ts`);
  writeFileSync(file, edit(code));
  return (await import(/* @vite-ignore */ file)) as Exports;
}

function blocksOf(section: string): ReturnType<typeof codeBlocks> {
  const start = section === "" ? 0 : HEADINGS.find(({ name }) => name === section)?.line;
  if (start === undefined) throw new Error(`${GUIDE} has no section "${section}"`);
  const end = HEADINGS.find(({ line }) => line > start)?.line ?? Infinity;
  return codeBlocks(GUIDE).filter(({ line }) => line > start && line < end);
}

/** The form of the request is exactly this. `undefined`: the parameter has some value. */
export function takesForm({ headers, form }: Asked, expected: Readonly<Record<string, string | undefined>>): void {
  const type = headers["content-type"] ?? "";
  must(/^application\/x-www-form-urlencoded(;|$)/.test(type), `the content type is ${type}`);
  for (const name of new Set([...form.keys(), ...Object.keys(expected)])) {
    must(Object.hasOwn(expected, name), `unknown parameter ${name}`);
    const value = form.getAll(name).join(" and ");
    const isRight = expected[name] === undefined ? value !== "" : value === expected[name];
    must(isRight, `${name} is ${JSON.stringify(value)}`);
  }
}

/** Id and secret are in the header, joined and encoded in Base64 and no further. */
export function takesBasic({ headers: { authorization } }: Asked, id: string, secret: string): void {
  must(authorization === `Basic ${btoa(`${id}:${secret}`)}`, `the client is not authenticated: ${authorization}`);
}

/** The request has no `Authorization`. */
export function takesNoHeader({ headers: { authorization } }: Asked): void {
  must(authorization === undefined, "there is an Authorization header");
}

interface ExpectedJwt {
  readonly key: KeyObject | CryptoKey;
  readonly header: Readonly<Record<string, string>>;
  readonly claims: Readonly<Record<string, unknown>>;
  /** In seconds. */
  readonly longest: number;
}

/** The JWT is signed with the key, has exactly this header, at least these claims, and does not live longer. */
export async function takesJwt(jwt: string | null | undefined, expected: ExpectedJwt): Promise<JWTPayload> {
  const { key, header, claims, longest } = expected;
  const { payload, protectedHeader } = await jwtVerify(jwt ?? "", key);
  expect(protectedHeader).toEqual(header);
  expect(payload).toMatchObject(claims);
  must(payload.exp! - payload.iat! <= longest, "the JWT lives too long");
  return payload;
}
