/**
 * Where tabs keep tokens: in memory, in the session storage of each tab, so that a reload finds them, and in the other tabs.
 *
 * A secret is named by its digest, and the record holds the digest alone. So a message that comes late or twice changes
 * nothing.
 *
 * @module
 */
import { LruMap } from "../base/lru.ts";
import { systemClock } from "../base/clock.ts";
import { digestOf } from "../core/state.ts";
import type { Secrets, TabChannel } from "./tab-channel.ts";

/** How many secrets a tab keeps: those of its records, and some of before. */
const MOST = 32;
/** Milliseconds in which another tab answers, if it has the secret and runs. */
const PATIENCE = 300;

/** The secrets that one tab knows. */
export class TabSecrets {
  readonly #name: string;
  readonly #channel: TabChannel;
  readonly #known = new LruMap<string, { readonly value: unknown }>(MOST);
  /** Called when a secret arrives. */
  readonly #waiting = new Set<() => void>();
  /** Nobody had them: they are not asked for again. */
  readonly #lost = new LruMap<string, true>(MOST);
  #isLoaded = false;
  /** Secrets have arrived that are not in the session storage. */
  #isUnsaved = false;

  constructor(name: string, channel: TabChannel) {
    this.#name = `${name}:secrets`;
    this.#channel = channel;
    channel.onSecrets(
      (wanted) => this.#tell(wanted),
      (secrets) => this.#take(Object.entries(secrets)),
    );
  }

  /** Keeps a secret, also for the other tabs. @returns Its digest. */
  keep(value: unknown): string {
    const digest = digestOf(value);
    if (this.#known.use(digest) === undefined) {
      this.#know(digest, value);
      this.#save();
      this.#channel.post({ secrets: { [digest]: value } });
    }
    return digest;
  }

  /** Returns a secret; `undefined` when no tab that runs has it. */
  async find(digest: string): Promise<unknown> {
    this.#load();
    if (this.#known.use(digest) === undefined && this.#lost.use(digest) === undefined) await this.#ask(digest);
    const found = this.#known.use(digest);
    if (found === undefined) this.#lost.set(digest, true);
    else if (this.#isUnsaved) this.#save();
    return found?.value;
  }

  #ask(digest: string): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        timer.cancel();
        this.#waiting.delete(look);
        resolve();
      };
      const look = (): void => {
        if (this.#known.use(digest) !== undefined) end();
      };
      const timer = systemClock.setTimeout(end, PATIENCE);
      this.#waiting.add(look);
      this.#channel.post({ wanted: [digest] });
    });
  }

  #tell(wanted: readonly string[]): void {
    this.#load();
    const secrets: Record<string, unknown> = {};
    for (const digest of wanted) {
      const found = this.#known.use(digest);
      if (found !== undefined) secrets[digest] = found.value;
    }
    if (Object.keys(secrets).length > 0) this.#channel.post({ secrets });
  }

  /** A secret is what its digest says, whoever has sent it. */
  #take(entries: Iterable<readonly [string, unknown]>): void {
    for (const [digest, value] of entries) if (digestOf(value) === digest) this.#know(digest, value);
  }

  #know(digest: string, value: unknown): void {
    this.#known.set(digest, { value });
    this.#isUnsaved = true;
    for (const look of this.#waiting) look();
  }

  /** Reads what this tab had before it was reloaded. */
  #load(): void {
    if (this.#isLoaded) return;
    this.#isLoaded = true;
    try {
      const saved = JSON.parse(sessionStorage.getItem(this.#name) ?? "{}") as Secrets;
      this.#take(Object.entries(saved));
      this.#isUnsaved = false;
    } catch {
      // The storage is forbidden, or holds something else. After a reload the other tabs are asked.
    }
  }

  #save(): void {
    this.#isUnsaved = false;
    try {
      const entries = [...this.#known].map(([digest, { value }]) => [digest, value] as const);
      sessionStorage.setItem(this.#name, JSON.stringify(Object.fromEntries(entries)));
    } catch {
      // The storage is forbidden or full.
    }
  }
}
