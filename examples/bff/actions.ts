/**
 * What the buttons of the page do. Each does the same to both lanes.
 *
 * @module
 */
import { Readable } from "node:stream";
import type { Apis } from "./apis.ts";
import type { App } from "./app.ts";
import type { AuthServer } from "./auth-server.ts";
import type { Driver } from "./driver.ts";
import type { Feed, Viewer } from "./feed.ts";
import { RESOURCES } from "./provider.ts";
import type { Replicas } from "./replicas.ts";

/** What the buttons work on. */
export interface Stage {
  readonly auth: AuthServer;
  readonly apis: Apis;
  readonly feed: Feed;
  readonly driver: Driver;
  readonly app: App;
  /** The name of the session's cookie. */
  readonly sessionCookie: string;
  /** Begins a session of the usual BFF, and returns its id. */
  readonly beginUsual: (tokens: { readonly access_token: string; readonly refresh_token: string }) => string;
  /** Asks whether the sessions of the viewers still exist, and tells them if not. */
  readonly recheck: (reason: string) => Promise<void>;
  readonly replicas: Replicas | undefined;
}

/** A button that cannot do what it says now, and why. */
export class NotNow extends Error {}

const DOWN_FOR = 10_000;
const USERS = 200;
const UPLOAD_BYTES = 20_000_000;
/** How many users are signed in at the same time. */
const AT_ONCE = 20;

/** A function for each button. `pay` returns the answer for the page. */
export type Action = (viewer: Viewer) => Promise<Response | void>;

/** Creates the actions, by name. */
export function createActions(stage: Stage): Readonly<Record<string, Action>> {
  const { auth, apis, feed, driver, app, replicas } = stage;
  const note = (viewer: Viewer, text: string): void => feed.send({ type: "note", at: Date.now(), text }, viewer);
  const streams = new Map<string, AbortController>();
  /** The cookies of the 200 users in the lane "remint". They stay signed in. */
  let robots: readonly string[] = [];

  const revoke = async ({ session }: Viewer): Promise<void> => auth.kill(auth.alive(session, RESOURCES.orders));
  const isDown = (): boolean => auth.downUntil > Date.now();

  /** Signs 200 users in, in both lanes. Resolves to their cookies. */
  async function signInRobots(): Promise<{ remint: readonly string[]; usual: readonly string[] }> {
    const usual: string[] = [];
    const remint: string[] = [];
    for (let first = 0; first < USERS; first += AT_ONCE) {
      const group = Array.from({ length: AT_ONCE }, (_, at) => `user-${first + at + 1}`);
      await Promise.all(
        group.map(async (sub) => {
          usual.push(`usual=${stage.beginUsual((await auth.signInDirectly("usual", sub)) as never)}`);
          if (robots.length > 0) return;
          const tokens = await auth.signInDirectly("bff", sub);
          const { id } = await app.sessions.begin(tokens as never, { sub, name: sub });
          remint.push(`${stage.sessionCookie}=${id}`);
        }),
      );
    }
    if (robots.length === 0) robots = remint;
    return { remint: robots, usual };
  }

  return {
    revoke,

    async expire({ session }) {
      auth.kill(auth.alive(session));
    },

    async burst(viewer) {
      await driver.both(viewer, 50);
    },

    async "revoke-burst"(viewer) {
      await revoke(viewer);
      await driver.both(viewer, 6);
    },

    async users(viewer) {
      if (isDown()) throw new NotNow("The authorization server is down, so nobody can be signed in.");
      note(viewer, `${USERS} users are being signed in.`);
      void signInRobots()
        .then(async (cookies) => {
          auth.kill(auth.alive().filter(({ session }) => session === undefined));
          note(viewer, `All tokens of ${USERS} users were revoked. Each of them sends two requests at once.`);
          for (const lane of driver.lanes()) {
            const calls = cookies[lane].flatMap((robot) => [robot, robot]);
            await Promise.all(calls.map((robot) => driver.call(viewer, lane, { robot })));
          }
        })
        .catch(() => note(viewer, "The users could not be signed in."));
    },

    async "as-down"() {
      const until = Date.now() + DOWN_FOR;
      auth.downUntil = until;
      feed.send({ type: "fault", name: "as-down", on: true, until });
      setTimeout(() => {
        if (auth.downUntil === until) feed.send({ type: "fault", name: "as-down", on: false, until: null });
      }, DOWN_FOR).unref();
    },

    async "api-401"() {
      apis.rejectsAll = !apis.rejectsAll;
      feed.send({ type: "fault", name: "api-401", on: apis.rejectsAll, until: null });
    },

    /** The stream of the lane "remint" is opened by the page itself. */
    async stream(viewer) {
      const open = streams.get(viewer.session);
      if (open !== undefined) {
        streams.delete(viewer.session);
        open.abort();
        return;
      }
      const own = new AbortController();
      streams.set(viewer.session, own);
      void driver.call(viewer, "usual", { path: "/events", accept: "text/event-stream", signal: own.signal });
    },

    async upload(viewer) {
      for (const lane of driver.lanes()) {
        const body = Readable.from(pieces(UPLOAD_BYTES));
        void driver.call(viewer, lane, { method: "POST", path: "/upload", body });
      }
    },

    async pay(viewer) {
      const call = { api: "billing", method: "POST", path: "/pay", body: '{"amount":1}' } as const;
      const [answer] = await Promise.all([driver.send(viewer, "remint", call), driver.call(viewer, "usual", call)]);
      const headers = { "content-type": answer.headers.get("content-type") ?? "application/json" };
      return new Response(await answer.text(), { status: answer.ok ? 202 : answer.status, headers });
    },

    async "end-session"(viewer) {
      if (isDown()) throw new NotNow("The authorization server is down, so it cannot end a session.");
      const reason = "The authorization server has ended the session, and told the BFF (back-channel logout).";
      feed.because(viewer, "remint", reason);
      await auth.endSession(viewer.session);
      await stage.recheck(reason);
    },

    async "replay-refresh"(viewer) {
      if (isDown()) throw new NotNow("The authorization server is down, so nothing can be presented to it.");
      const clients = ["usual", "bff"] as const;
      const done = await Promise.all(clients.map((client) => auth.replay(client, viewer.session)));
      if (!done.includes(true)) throw new NotNow("No refresh token was used up yet. Press “Expire now” first.");
      await driver.both(viewer, 1);
    },

    async "kill-2"() {
      if (replicas === undefined) throw new NotNow("There is one process only. Start with --replicas 3.");
      replicas.kill(2);
    },
  };
}

/** So many bytes, in pieces of 64 kB. */
function* pieces(bytes: number): Generator<Buffer> {
  const piece = Buffer.alloc(64_000);
  for (let left = bytes; left > 0; left -= piece.length) yield piece.subarray(0, Math.min(left, piece.length));
}
