/**
 * The page: who is signed in, and the feed of the server. The HTML is the same for everybody; who the user is, the page
 * asks after it was loaded. The lanes are in board.ts, the buttons in actions.ts.
 */
import { Actions } from "./actions.ts";
import { Board } from "./board.ts";
import { byId } from "./dom.ts";
import { LiveLine, type Weight } from "./live-line.ts";
import type { CookiesAnswer, Hello, LaneMessage, Message, Recorded, Recording, UserAnswer } from "./messages.ts";
import { Log, ReceivedPanel, showHolds } from "./panels.ts";
import { Player } from "./player.ts";
import { LANE_TITLES } from "./sentences.ts";

/** Milliseconds without news after which the outcome of a button is said in one sentence. */
const QUIET = 700;
/** Milliseconds after which the feed is opened again, if the server refused it. */
const PAUSE = 2000;
const RECORDED = "A recorded run of this page";
/** From this width on, what can be folded is open at first. */
const WIDE = "(min-width: 900px)";

/** What the page knows of the visitor. `ended`: there was a session, and its lanes are still to be seen. */
type View = "loading" | "out" | "in" | "ended";

const live = new LiveLine(byId("live"));
const log = new Log(byId("log"));
const received = new ReceivedPanel(byId("received"));
const board = new Board((text) => live.say(text, "detail"));
const actions = new Actions({
  onPress(name) {
    board.mark();
    pressed = { name, changedAt: undefined };
    log.add(board.now, `You pressed “${name}”.`);
  },
  onDone(action) {
    if (action === "pay") void refreshHolds();
  },
  onProblem: (text) => tell(text, board.now, "alarm"),
  onSignedOut: () => void checkSession(),
});

let view: View = "loading";
let feed: EventSource | undefined;
let player: Player | undefined;
/** The last button, and when its outcome last changed, until that was said. */
let pressed: { readonly name: string; changedAt: number | undefined } | undefined;

const isSeen = (): boolean => document.visibilityState === "visible";

async function ask<Answer>(path: string): Promise<Answer> {
  const response = await fetch(path, { headers: { "x-bff": "1" }, cache: "no-store" });
  if (!response.ok) throw new Error(`${path} answered ${response.status}`);
  return (await response.json()) as Answer;
}

/** Asks who is signed in, and shows the page that fits. */
async function arrive(): Promise<void> {
  try {
    const user = await ask<UserAnswer>("/bff/user");
    if (user.user === null) return await showSignedOut();
    byId("user-name").textContent = user.user.name;
    show("in");
    hello(await ask<Hello>("/demo/state"));
    listen();
    await refreshHolds(user);
  } catch (error) {
    if (view === "loading") show("out");
    tell(`The server did not answer: ${(error as Error).message}. Reload the page to try again.`, board.now, "alarm");
  }
}

function show(next: View): void {
  view = next;
  document.body.dataset["view"] = next;
  const hasLanes = next === "in" || next === "ended";
  byId("who").hidden = next !== "in";
  byId("intro").hidden = next !== "out";
  byId("ended").hidden = next !== "ended";
  byId("lanes").hidden = next === "loading";
  byId("sums").hidden = next === "loading";
  byId("recorded").hidden = true;
  byId("actions").hidden = !hasLanes;
  byId("below").hidden = !hasLanes;
  actions.enable(next === "in");
  board.showChips(next === "in");
  board.layout();
  if (next === "in") return;
  byId("user-name").textContent = "";
  byId("holds").replaceChildren();
  feed?.close();
}

async function showSignedOut(): Promise<void> {
  clear();
  show("out");
  if (new URL(location.href).searchParams.get("signin") === "denied") {
    byId("sign-in-failed").hidden = false;
    byId("sign-in-failed").textContent = "You are not signed in: the authorization server says that access was denied.";
    history.replaceState(null, "", "/");
  }
  const recording = await ask<Recording>("/demo/recording").catch((): Recording => ({ messages: [] }));
  if (view !== "out") return;
  byId("recorded").hidden = recording.messages.length === 0;
  byId("recorded").textContent = RECORDED;
  player?.stop();
  player = new Player(recording, clear, replay);
  if (isSeen()) player.start();
}

/** Takes one message of the recording. It reads nothing out: nobody pressed anything. */
function replay(message: Recorded): void {
  if (message.type !== "pressed") return board.add(message);
  byId("recorded").textContent = `${RECORDED}. The last button was “${message.name}”.`;
  return board.mark();
}

/** The session is over while its user looks on. What the lanes show stays. */
function showEnded(reason: string): void {
  if (view !== "in") return;
  show("ended");
  byId("ended-reason").textContent = `Your session has ended. ${reason}`;
}

function clear(): void {
  board.clear();
  received.clear();
  log.clear();
  live.clear();
  pressed = undefined;
}

async function refreshHolds(known?: UserAnswer): Promise<void> {
  const [cookies, user] = await Promise.all([
    ask<CookiesAnswer>("/demo/cookies"),
    known ?? ask<UserAnswer>("/bff/user"),
  ]);
  if (view === "in") await showHolds(byId("holds"), cookies, user);
}

/** Listens while the page is in sight. A page out of sight would hold one of the six connections of the browser. */
function listen(): void {
  feed?.close();
  if (view !== "in" || !isSeen()) return;
  const opened = new EventSource("/demo/events");
  feed = opened;
  opened.addEventListener("message", ({ data }) => take(JSON.parse(String(data)) as Message));
  opened.addEventListener("error", () => {
    // The browser connects again by itself, but not after an answer that is no stream: the session may be over.
    if (opened.readyState === EventSource.CLOSED && feed === opened) void checkSession();
  });
}

async function checkSession(): Promise<void> {
  const { user } = await ask<UserAnswer>("/bff/user").catch(() => ({ user: undefined }));
  if (user === null) showEnded("");
  else setTimeout(listen, PAUSE);
}

/** Takes one message of the server. */
function take(message: Message): void {
  switch (message.type) {
    case "hello":
      return hello(message);
    case "received":
      received.add(message);
      return received.refresh();
    case "note":
      return tell(message.text, message.at);
    case "fault":
      return actions.fault(message.name, message.on, message.until === null ? null : message.until - board.now);
    case "process":
      actions.process(message.id, message.alive);
      return tell(`Process ${message.id} ${message.alive ? "is back" : "is gone"}.`, message.at);
    case "stream":
      // The stream of the lane "remint" is this page's own, and counted where it is open.
      if (message.lane === "usual") actions.countStream("usual");
      return board.add(message);
    default:
      board.add(message);
      if (pressed !== undefined && isOutcome(message)) pressed.changedAt = performance.now();
      if (message.type === "signed-in") tell(`${LANE_TITLES[message.lane]}: signed in.`, message.at);
      if (message.type !== "signed-out") return undefined;
      tell(`${LANE_TITLES[message.lane]}: signed out. ${message.reason}`, message.at, "alarm");
      return message.lane === "remint" ? showEnded(message.reason) : undefined;
  }
}

/** Whether a message is in the sums of a button. */
function isOutcome(message: LaneMessage): boolean {
  if (message.type === "request") return message.beat !== true;
  return message.type === "token-request" || message.type === "signed-out";
}

function hello(message: Hello): void {
  board.sync(message.now, message.lanes);
  actions.sync(message);
  if (message.user === null) showEnded("");
}

/** One sentence for the live line and the log. */
function tell(text: string, at: number, weight: Weight = "news"): void {
  live.say(text, weight);
  log.add(at, text);
}

/** The outcome of the last button in one sentence, once nothing more comes. */
function sayOutcome(): void {
  if (pressed?.changedAt === undefined || performance.now() - pressed.changedAt < QUIET) return;
  pressed.changedAt = undefined;
  const [usual, remint] = [board.sinceMark("usual"), board.sinceMark("remint")];
  tell(`After “${pressed.name}”, the usual BFF: ${usual}. With remint: ${remint}.`, board.now);
}

document.addEventListener("visibilitychange", () => {
  if (isSeen()) {
    listen();
    if (view === "out") player?.start();
    return;
  }
  feed?.close();
  player?.stop();
});
// The page that Back shows again may be that of a session that is over. It keeps nothing of its user.
addEventListener("pagehide", () => {
  show("loading");
  clear();
});
addEventListener("pageshow", ({ persisted }) => {
  if (persisted) void arrive();
});

const wide = matchMedia(WIDE);
const unfold = (): void => {
  for (const details of document.querySelectorAll("details")) details.open = wide.matches;
};
wide.addEventListener("change", unfold);

unfold();
setInterval(sayOutcome, 250);
void arrive();
