/**
 * How the tabs of one origin talk to each other: a BroadcastChannel, and what a tab does when it is shown again after the
 * browser had put it aside. Without BroadcastChannel a tab learns of the others only when it looks at the record.
 *
 * @module
 */

/** A secret by its digest, as it travels from tab to tab. */
export type Secrets = Readonly<Record<string, unknown>>;

type Message =
  /** The record of this key was written. */
  | { readonly changed: string }
  /** Who has the secrets with these digests? */
  | { readonly wanted: readonly string[] }
  /** Some secrets. */
  | { readonly secrets: Secrets };

/** What the parts of the store do with messages. */
interface Listeners {
  change(key?: string): void;
  wanted(digests: readonly string[]): void;
  secrets(secrets: Secrets): void;
}

/** The events that a tab is shown with. Declared because workers have no page. */
type PageTarget = Pick<EventTarget, "addEventListener">;

/** One tab's end of the channel. */
export class TabChannel {
  readonly #name: string;
  readonly #listeners: Partial<Listeners> = {};
  #channel: BroadcastChannel | undefined;

  constructor(name: string) {
    this.#name = name;
  }

  /** Calls `look` when another tab has written a record, and for all records when the tab is shown again. */
  onChange(look: (key?: string) => void): void {
    this.#listeners.change = look;
    this.#open();
    const page = globalThis as unknown as Partial<PageTarget> & { readonly document?: Document };
    const { document } = page;
    page.addEventListener?.("pageshow", (event) => {
      if ((event as PageTransitionEvent).persisted) look();
    });
    document?.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") look();
    });
  }

  onSecrets(wanted: Listeners["wanted"], secrets: Listeners["secrets"]): void {
    Object.assign(this.#listeners, { wanted, secrets });
  }

  post(message: Message): void {
    try {
      this.#channel?.postMessage(message);
    } catch {
      // The page is going away, or a state cannot be copied. The record says what has to be known.
    }
  }

  #open(): void {
    try {
      this.#channel = new BroadcastChannel(this.#name);
    } catch {
      // There is none, or the browser forbids it, as to a frame of another site.
      return;
    }
    this.#channel.addEventListener("message", ({ data }) => this.#receive(data as never));
    // In Node, a channel would keep the process alive.
    (this.#channel as { unref?: () => void }).unref?.();
  }

  /** Other code of the page may use a channel of this name. */
  #receive(message: Partial<Record<"changed" | "wanted" | "secrets", never>> | null): void {
    const { changed, wanted, secrets } = Object(message) as NonNullable<typeof message>;
    if (typeof changed === "string") this.#listeners.change?.(changed);
    if (Array.isArray(wanted)) this.#listeners.wanted?.(wanted);
    if (typeof secrets === "object" && secrets !== null) this.#listeners.secrets?.(secrets);
  }
}
