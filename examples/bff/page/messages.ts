/**
 * What the server tells the page: one JSON object for each message of `/demo/events`. Only types, so that both sides
 * can import them. Times are milliseconds since 1970. A token is named by a fingerprint of 4 characters. No message
 * holds a token, a value of a cookie, or the id of a session.
 */

/** The two backends that get the same requests. */
export type LaneName = "usual" | "remint";

export type Audience = "orders" | "billing";

/** What the browser saw of one request. */
export type Outcome = "first-try" | "after-renewal" | "unauthorized" | "unavailable" | "signed-out";

export interface Hello {
  readonly type: "hello";
  /** The clock of the server. */
  readonly now: number;
  readonly user: { readonly name: string } | null;
  readonly lanes: Readonly<Record<LaneName, { readonly signedIn: boolean }>>;
  /** Milliseconds. */
  readonly tokenLifetime: number;
  readonly processes: readonly { readonly id: number; readonly alive: boolean }[];
  readonly faults: { readonly "as-down": number | null; readonly "api-401": boolean };
}

export interface TokenMinted {
  readonly type: "token";
  readonly lane: LaneName;
  readonly id: string;
  readonly audience: Audience;
  readonly at: number;
  readonly expiresAt: number;
  /** From then on the token is replaced ahead of its expiry. */
  readonly refreshFrom: number;
}

export interface TokenEnded {
  readonly type: "token-end";
  readonly lane: LaneName;
  readonly id: string;
  readonly at: number;
  readonly why: "revoked" | "replaced" | "session-over";
}

export interface TokenRequest {
  readonly type: "token-request";
  readonly lane: LaneName;
  readonly at: number;
  readonly status: number;
  readonly ok: boolean;
}

export interface ApiRequest {
  readonly type: "request";
  readonly lane: LaneName;
  readonly at: number;
  /** Until the browser's side had the answer. */
  readonly ms: number;
  readonly api: Audience;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly outcome: Outcome;
  readonly token: string | null;
  readonly how: "cached" | "waited" | "minted" | "renewed" | null;
  /** One of the requests that go through both lanes all the time, whatever buttons are pressed. */
  readonly beat?: boolean;
}

export interface SignedIn {
  readonly type: "signed-in";
  readonly lane: LaneName;
  readonly at: number;
}

export interface SignedOut {
  readonly type: "signed-out";
  readonly lane: LaneName;
  readonly at: number;
  /** A plain sentence. */
  readonly reason: string;
}

/** What one of the APIs got. */
export interface Received {
  readonly type: "received";
  readonly at: number;
  readonly api: Audience;
  readonly method: string;
  readonly path: string;
  readonly audience: string;
  readonly headers: readonly string[];
  readonly cookie: boolean;
}

export interface StreamText {
  readonly type: "stream";
  readonly lane: LaneName;
  readonly at: number;
  readonly text: string;
}

export interface Fault {
  readonly type: "fault";
  readonly name: "as-down" | "api-401";
  readonly on: boolean;
  readonly until: number | null;
}

export interface ProcessState {
  readonly type: "process";
  readonly id: number;
  readonly alive: boolean;
  readonly at: number;
}

/** One sentence for the reader. */
export interface Note {
  readonly type: "note";
  readonly at: number;
  readonly text: string;
}

/** What happened in one of the lanes. */
export type LaneMessage = TokenMinted | TokenEnded | TokenRequest | ApiRequest | SignedIn | SignedOut | StreamText;

export type Message = Hello | LaneMessage | Received | Fault | ProcessState | Note;

/** `GET /bff/user`. */
export interface UserAnswer {
  readonly user: { readonly name: string; readonly sub: string } | null;
  readonly session?: {
    readonly acr?: string;
    /** Seconds since 1970, as in the ID token. */
    readonly authTime?: number;
    readonly idleUntil: number;
    readonly absoluteUntil: number;
    readonly claims?: Readonly<Record<string, unknown>>;
  };
}

/** `GET /demo/cookies`. */
export type CookiesAnswer = readonly { readonly name: string; readonly flags: readonly string[] }[];

/** A button of a recorded run. */
export interface Pressed {
  readonly type: "pressed";
  readonly at: number;
  /** What stands on the button. */
  readonly name: string;
}

export type Recorded = LaneMessage | Pressed;

/** `GET /demo/recording`: what happened in the lanes, in the order of time. */
export interface Recording {
  readonly messages: readonly Recorded[];
}

/** What `POST /demo/actions/<name>` knows. */
export type Action =
  | "revoke"
  | "expire"
  | "burst"
  | "revoke-burst"
  | "users"
  | "as-down"
  | "api-401"
  | "stream"
  | "upload"
  | "pay"
  | "end-session"
  | "replay-refresh"
  | "kill-2";
