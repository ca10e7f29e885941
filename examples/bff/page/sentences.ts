/**
 * The words of the page: one sentence or phrase for each thing that happens. The live line, the table, the log and the
 * lanes use the same ones.
 */
import { OUTCOMES, type Absence, type Burst, type Counts, type Tally, type TokenLife } from "./history.ts";
import type { ApiRequest, LaneMessage, LaneName, Outcome, TokenRequest } from "./messages.ts";

export const LANE_TITLES: Readonly<Record<LaneName, string>> = { usual: "The usual BFF", remint: "With remint" };

/** What the browser saw, for the legend, the table and the log. */
export const OUTCOME_WORDS: Readonly<Record<Outcome, string>> = {
  "first-try": "first try",
  "after-renewal": "after a renewal",
  unavailable: "503, try again",
  unauthorized: "401 shown",
  "signed-out": "signed out",
};

const ENDINGS: Readonly<Record<NonNullable<TokenLife["why"]>, string>> = {
  revoked: "was revoked",
  replaced: "was replaced",
  "session-over": "ended with the session",
};

export function plural(count: number, what: string): string {
  return `${count.toLocaleString("en")} ${what}${count === 1 ? "" : "s"}`;
}

/** `12:03:44.1` */
export function clockTime(at: number): string {
  const date = new Date(at);
  const tenths = Math.floor(date.getMilliseconds() / 100);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${tenths}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `850 ms`, `1.2 s` */
export function duration(ms: number | undefined): string {
  if (ms === undefined) return "–";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** A part of a sum, and whether a user would complain about it. */
export interface Part {
  readonly text: string;
  readonly kind: "good" | "bad" | "plain";
}

/** `6 × 200`, `1 token request`: what happened since the last button. */
export function tallyParts({ statuses, tokenRequests, failedTokenRequests, signOuts }: Tally): Part[] {
  const parts: Part[] = [...statuses]
    .toSorted(([one], [other]) => one - other)
    .map(([status, count]) => ({ text: `${count} × ${status}`, kind: status < 400 ? "good" : "bad" }));
  if (tokenRequests > 0) {
    const failed = failedTokenRequests > 0 ? ` (${failedTokenRequests} failed)` : "";
    parts.push({ text: `${plural(tokenRequests, "token request")}${failed}`, kind: "plain" });
  }
  if (signOuts > 0) parts.push({ text: "signed out", kind: "bad" });
  return parts;
}

/** The summary of a lane, for those who do not see it. */
export function laneSummary(name: LaneName, counts: Counts, signedIn: boolean): string {
  const parts = [
    plural(counts.requests, "request"),
    plural(counts.tokenRequests, "token request"),
    `${plural(counts.unauthorized, "answer")} 401`,
    `signed out ${counts.signOuts === 1 ? "once" : `${counts.signOuts} times`}`,
  ];
  return `${LANE_TITLES[name]}, ${signedIn ? "signed in" : "signed out now"}: ${parts.join(", ")}. The arrow keys walk the events.`;
}

/** `6 requests to orders, 31 to 58 ms: 5 first try, 1 after a renewal` */
export function requestsPhrase({ items }: Burst<ApiRequest>): string {
  const [only] = items;
  if (only !== undefined && items.length === 1) return requestPhrase(only);
  const apis = [...new Set(items.map(({ api }) => api))].join(" and ");
  const times = items.map(({ ms }) => ms);
  const outcomes = OUTCOMES.flatMap((outcome) => {
    const count = items.filter((item) => item.outcome === outcome).length;
    return count === 0 ? [] : [`${count} ${OUTCOME_WORDS[outcome]}`];
  });
  const span = `${Math.round(Math.min(...times))} to ${duration(Math.max(...times))}`;
  return `${plural(items.length, "request")} to ${apis}, ${span}: ${outcomes.join(", ")}`;
}

function requestPhrase({ method, path, status, ms, outcome, token, how }: ApiRequest): string {
  const which = token === null ? "" : `, token ${token}${how === null ? "" : ` (${how})`}`;
  return `${method} ${path}: ${status} in ${duration(ms)}, ${OUTCOME_WORDS[outcome]}${which}`;
}

/** `6 token requests: 1 × 200, 5 × 400` */
export function tokenRequestsPhrase({ items }: Burst<TokenRequest>): string {
  const statuses = new Map<number, number>();
  for (const { status } of items) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const answers = [...statuses].map(([status, count]) => (items.length === 1 ? `${status}` : `${count} × ${status}`));
  return `${plural(items.length, "token request")}: ${answers.join(", ")}`;
}

export function mintPhrase({ id, audience, at, expiresAt }: TokenLife): string {
  return `token ${id} for ${audience} begins, for ${duration(expiresAt - at)}`;
}

export function endPhrase({ id, audience, why = "replaced" }: TokenLife): string {
  return `token ${id} for ${audience} ${ENDINGS[why]}`;
}

export function absencePhrase({ reason }: Absence): string {
  return `no session. ${reason}`;
}

/** What a message says in the table: what happened, and the answer. */
export function cells(message: LaneMessage): { readonly what: string; readonly answer: string } {
  switch (message.type) {
    case "request": {
      const token = message.token === null ? "" : `, token ${message.token}`;
      const how = message.how === null ? "" : ` (${message.how})`;
      return {
        what: `${message.method} ${message.path}${token}${how}`,
        answer: `${message.status} ${OUTCOME_WORDS[message.outcome]}, ${duration(message.ms)}`,
      };
    }
    case "token-request":
      return { what: "token request", answer: `${message.status}${message.ok ? "" : " failed"}` };
    case "token":
      return {
        what: `token ${message.id} for ${message.audience}`,
        answer: `lives ${duration(message.expiresAt - message.at)}`,
      };
    case "token-end":
      return { what: `token ${message.id}`, answer: ENDINGS[message.why] };
    case "signed-in":
      return { what: "session", answer: "signed in" };
    case "signed-out":
      return { what: "session", answer: `signed out. ${message.reason}` };
    default:
      return { what: "event stream", answer: message.text };
  }
}
