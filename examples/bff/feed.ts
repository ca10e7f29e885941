/**
 * The feed of the page: who looks on, and what each of them is told. A viewer is told of their own session, and of what
 * concerns everybody.
 *
 * @module
 */
import type { ApiName } from "./apis.ts";
import type { AuthServer, ClientName, IssuedToken } from "./auth-server.ts";
import { fingerprint, type LaneListener } from "./lanes.ts";
import type { LaneName, Message } from "./page/messages.ts";
import { RESOURCES } from "./provider.ts";

/** Somebody who looks on, in one tab. */
export interface Viewer {
  readonly id: string;
  /** The cookies of the tab's browser. The demo sends its requests with them. */
  readonly cookie: string;
  readonly name: string;
  /** The session at the authorization server. */
  readonly session: string;
  readonly signedIn: Record<LaneName, boolean>;
}

interface Open extends Viewer {
  readonly send: (message: Message) => void;
}

const LANE_OF: Readonly<Record<ClientName, LaneName>> = { bff: "remint", usual: "usual" };
const REUSE =
  "One refresh token was presented twice. The authorization server took that for theft and revoked all tokens of the session.";
/** Milliseconds after which a comment is sent, so that nobody takes the connection for dead. */
const ALIVE_EVERY = 15_000;

/** The viewers, and what they are told. */
export class Feed {
  readonly #auth: AuthServer;
  readonly #viewers = new Map<string, Open>();
  /** The current token of each lane, session and audience. */
  readonly #current = new Map<string, IssuedToken>();
  /** Why a lane of a session will be signed out, where that is known before it is noticed. */
  readonly #reasons = new Map<string, string>();

  constructor(auth: AuthServer) {
    this.#auth = auth;
    auth.events.on("issued", (token) => this.#issued(token));
    auth.events.on("dead", ({ tokens, why }) => {
      for (const token of tokens) this.#ended(token, why);
    });
    auth.events.on("reuse", ({ client, session }) => this.#reasons.set(`${LANE_OF[client]} ${session}`, REUSE));
    auth.events.on("token-request", ({ client, status, session }) => {
      const lane = LANE_OF[client];
      const message: Message = { type: "token-request", lane, at: Date.now(), status, ok: status === 200 };
      this.#tell(message, (viewer) => session === undefined || viewer.session === session);
    });
  }

  get viewers(): readonly Viewer[] {
    return [...this.#viewers.values()];
  }

  /** The viewer with an id: the part of a request's id before the point. */
  viewer(id: string): Viewer | undefined {
    return this.#viewers.get(id.split(".")[0] ?? "");
  }

  /** What the lanes tell. */
  readonly listener: LaneListener = {
    onRequest: ({ id, ...request }, cookie) => {
      const { lane, outcome } = request;
      for (const viewer of this.#of(id, cookie, lane)) {
        viewer.send({ type: "request", ...request, beat: id.includes(".beat.") });
        if (outcome === "signed-out" && !id.includes("robot"))
          this.signedOut(viewer, lane, this.#reasonOf(viewer, lane));
      }
    },
    onReceived: ({ api, method, path, headers, audience = "none" }, id, lane) => {
      if (lane === "usual") return;
      const names = Object.keys(headers);
      const message = { type: "received", at: Date.now(), api, method, path, audience, headers: names } as const;
      for (const viewer of this.#of(id, "", lane)) viewer.send({ ...message, cookie: "cookie" in headers });
    },
    onStream: (lane, text, cookie) => {
      const data = /^data: (.*)$/m.exec(text)?.[1];
      if (data === undefined) return;
      for (const viewer of this.#of("", cookie, lane))
        viewer.send({ type: "stream", lane, at: Date.now(), text: data });
    },
  };

  /** Tells a viewer that a lane is signed out, once. */
  signedOut(viewer: Viewer, lane: LaneName, reason: string): void {
    if (!viewer.signedIn[lane]) return;
    viewer.signedIn[lane] = false;
    this.#viewers.get(viewer.id)?.send({ type: "signed-out", lane, at: Date.now(), reason });
  }

  /** Says why a lane of a viewer will be signed out. Whichever request notices it first. */
  because(viewer: Viewer, lane: LaneName, reason: string): void {
    this.#reasons.set(`${lane} ${viewer.session}`, reason);
  }

  /** Tells everybody, or one viewer. */
  send(message: Message, to?: Viewer): void {
    this.#tell(message, (viewer) => to === undefined || viewer.id === to.id);
  }

  /** Opens the feed for a viewer. `hello` is sent first. */
  open(viewer: Viewer, hello: Message, signal: AbortSignal): Response {
    const encoder = new TextEncoder();
    let alive: NodeJS.Timeout | undefined;
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const write = (text: string): void => controller.enqueue(encoder.encode(text));
        const end = (): void => {
          if (!this.#viewers.delete(viewer.id)) return;
          clearInterval(alive);
          controller.close();
        };
        this.#viewers.set(viewer.id, { ...viewer, send: (message) => write(`data: ${JSON.stringify(message)}\n\n`) });
        alive = setInterval(() => write(":\n\n"), ALIVE_EVERY);
        signal.addEventListener("abort", end, { once: true });
        write("retry: 1000\n");
        for (const message of [hello, ...this.#tokensOf(viewer)]) write(`data: ${JSON.stringify(message)}\n\n`);
      },
      cancel: () => {
        this.#viewers.delete(viewer.id);
        clearInterval(alive);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream", "cache-control": "no-store" } });
  }

  /** The tokens that a viewer has now: the page may have been opened later than they were issued. */
  #tokensOf(viewer: Viewer): Message[] {
    const tokens = this.#auth.alive(viewer.session);
    return tokens.map((token) => this.#tokenMessage(token, token.expiresAt - this.#auth.lifetime));
  }

  #issued(token: IssuedToken): void {
    if (token.session === undefined) return;
    const place = `${token.client} ${token.session} ${token.audience}`;
    const before = this.#current.get(place);
    this.#current.set(place, token);
    if (before !== undefined && before.expiresAt > Date.now() && !this.#auth.isDead(before.jti)) {
      this.#ended(before, "replaced");
    }
    this.#tell(this.#tokenMessage(token, Date.now()), ({ session }) => session === token.session);
  }

  #tokenMessage({ client, jti, audience, expiresAt }: IssuedToken, at: number): Message {
    const lane = LANE_OF[client];
    // This library refreshes a short token from half of its life on. The usual way waits until it is refused.
    const refreshFrom = lane === "remint" ? expiresAt - this.#auth.lifetime / 2 : expiresAt;
    const api: ApiName = audience === RESOURCES.billing ? "billing" : "orders";
    return { type: "token", lane, id: fingerprint(jti), audience: api, at, expiresAt, refreshFrom };
  }

  #ended({ client, jti, session }: IssuedToken, why: "revoked" | "replaced" | "session-over"): void {
    const message: Message = { type: "token-end", lane: LANE_OF[client], id: fingerprint(jti), at: Date.now(), why };
    this.#tell(message, (viewer) => viewer.session === session);
  }

  #tell(message: Message, concerns: (viewer: Viewer) => boolean): void {
    for (const viewer of this.#viewers.values()) if (concerns(viewer)) viewer.send(message);
  }

  /** The viewers that a request belongs to: the one that the demo sent it for, or those of its browser. */
  #of(id: string, cookie: string, lane: LaneName): Open[] {
    const known = this.#viewers.get(id.split(".")[0] ?? "");
    if (known !== undefined) return [known];
    const own = cookieOf(cookie, lane);
    return own === undefined
      ? []
      : [...this.#viewers.values()].filter((viewer) => cookieOf(viewer.cookie, lane) === own);
  }

  #reasonOf({ session }: Viewer, lane: LaneName): string {
    return (
      this.#reasons.get(`${lane} ${session}`) ?? "The authorization server did not accept the refresh token any more."
    );
  }
}

/** The session's cookie of a lane. */
function cookieOf(cookies: string, lane: LaneName): string | undefined {
  return (lane === "remint" ? /(?:^|; )(?:__Host-Http-)?bff=([^;]+)/ : /(?:^|; )usual=([^;]+)/).exec(cookies)?.[1];
}
