/** The buttons: each asks the server to do one thing to both lanes. Who is signed in is the matter of page.ts. */
import { byId, node } from "./dom.ts";
import type { Action, Hello, LaneName } from "./messages.ts";

/** What a problem of the server says. */
interface Problem {
  readonly title?: string;
  readonly detail?: string;
  readonly code?: string;
  readonly acr_values?: string;
  readonly max_age?: number;
}

/** What the buttons tell the page. */
export interface ActionListener {
  /** Before the server is asked. */
  readonly onPress: (name: string) => void;
  readonly onDone: (action: Action) => void;
  /** A sentence for the user. */
  readonly onProblem: (text: string) => void;
  /** The server knows no session. */
  readonly onSignedOut: () => void;
}

export class Actions {
  readonly #buttons = [...document.querySelectorAll<HTMLButtonElement>("button[data-action]")];
  readonly #listener: ActionListener;
  #isOn = false;
  #hasFleet = false;
  /** When the authorization server is back, in milliseconds of this clock. */
  #downUntil = 0;
  #stream: EventSource | undefined;
  #streamed: Record<LaneName, number> = { usual: 0, remint: 0 };

  constructor(listener: ActionListener) {
    this.#listener = listener;
    for (const each of this.#buttons) {
      each.dataset["name"] = each.textContent.trim().replaceAll(/\s+/g, " ");
      each.addEventListener("click", () => void this.#press(each));
    }
    document.addEventListener("visibilitychange", () => {
      if (this.#stream === undefined) return;
      // A page out of sight would hold one of the six connections of the browser.
      this.#stream.close();
      if (document.visibilityState === "visible") this.#openStream();
    });
    setInterval(() => this.#countDown(), 1000);
  }

  enable(isOn: boolean): void {
    this.#isOn = isOn;
    for (const each of this.#buttons) each.disabled = !isOn;
    this.#button("kill-2").disabled = !isOn || !this.#hasFleet;
    if (!isOn) this.#closeStream();
  }

  /** Takes what the server says of its faults and processes. */
  sync({ faults, processes, now }: Hello): void {
    this.fault("as-down", faults["as-down"] !== null, faults["as-down"] === null ? null : faults["as-down"] - now);
    this.fault("api-401", faults["api-401"], null);
    byId("processes").replaceChildren();
    this.#hasFleet = processes.length > 1;
    this.enable(this.#isOn);
    if (this.#hasFleet) for (const { id, alive } of processes) this.process(id, alive);
    else byId("processes").append("One process. For three: ", node("code", "npm start -- --replicas 3"));
  }

  /** A fault begins or ends. `left`: milliseconds until it ends. */
  fault(name: "as-down" | "api-401", on: boolean, left: number | null): void {
    if (name === "api-401") this.#button("api-401").setAttribute("aria-pressed", String(on));
    else this.#downUntil = on ? Date.now() + (left ?? 10_000) : 0;
    this.#countDown();
  }

  process(id: number, alive: boolean): void {
    const host = byId("processes");
    let state = host.querySelector<HTMLElement>(`[data-process="${id}"]`);
    if (state === null) {
      state = node("span");
      state.dataset["process"] = String(id);
      host.append(state);
    }
    state.textContent = `${alive ? "●" : "○"} process ${id}${alive ? "" : " is gone"}`;
  }

  /** Counts an event of the stream that a lane has open. */
  countStream(lane: LaneName): void {
    this.#streamed[lane] += 1;
    const { usual, remint } = this.#streamed;
    byId("stream-text").hidden = false;
    byId("stream-text").textContent = `Events so far: ${usual} the usual way, ${remint} with remint`;
  }

  async #press(pressed: HTMLButtonElement): Promise<void> {
    const { action, name = "" } = pressed.dataset as { action: Action; name?: string };
    if (pressed.getAttribute("aria-busy") === "true") return;
    pressed.setAttribute("aria-busy", "true");
    this.#listener.onPress(name);
    try {
      const response = await fetch(`/demo/actions/${action}`, { method: "POST", headers: { "x-bff": "1" } });
      if (!response.ok) return await this.#refused(name, response);
      if (action === "stream") this.#toggleStream();
      this.#listener.onDone(action);
    } catch (error) {
      this.#listener.onProblem(`“${name}” did not reach the server: ${(error as Error).message}.`);
    } finally {
      pressed.removeAttribute("aria-busy");
    }
  }

  async #refused(name: string, response: Response): Promise<void> {
    const problem = (await response.json().catch(() => ({}))) as Problem;
    if (problem.code === "step-up") {
      const query = new URLSearchParams({ returnTo: "/" });
      if (problem.acr_values !== undefined) query.set("acr_values", problem.acr_values);
      if (problem.max_age !== undefined) query.set("max_age", String(problem.max_age));
      location.assign(`/bff/login?${query}`);
      return;
    }
    if (response.status === 401) return this.#listener.onSignedOut();
    this.#listener.onProblem(
      `“${name}”: ${problem.detail ?? problem.title ?? `the server answered ${response.status}`}`,
    );
  }

  /** The stream of the lane "remint" goes from this page through the proxy to the API. */
  #toggleStream(): void {
    if (this.#stream !== undefined) return this.#closeStream();
    this.#streamed = { usual: 0, remint: 0 };
    this.#button("stream").setAttribute("aria-pressed", "true");
    return this.#openStream();
  }

  #openStream(): void {
    const stream = new EventSource("/api/orders/events");
    this.#stream = stream;
    stream.addEventListener("message", () => this.countStream("remint"));
    stream.addEventListener("error", () => {
      if (stream.readyState === EventSource.CLOSED && this.#stream === stream) this.#closeStream();
    });
  }

  #closeStream(): void {
    this.#stream?.close();
    this.#stream = undefined;
    this.#button("stream").setAttribute("aria-pressed", "false");
  }

  #countDown(): void {
    const left = Math.ceil((this.#downUntil - Date.now()) / 1000);
    const button = this.#button("as-down");
    const text = left > 0 ? `AS is down: ${left} s` : (button.dataset["name"] ?? "");
    if (button.textContent !== text) button.textContent = text;
  }

  #button(action: Action): HTMLButtonElement {
    const found = this.#buttons.find(({ dataset }) => dataset["action"] === action);
    if (found === undefined) throw new Error(`index.html has no button "${action}"`);
    return found;
  }
}
