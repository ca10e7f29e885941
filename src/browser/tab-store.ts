/**
 * `tabStore`: the tabs of one browser share a session as the processes of a fleet do. One tab refreshes for all, and a
 * sign-in or a sign-out in one holds in the others at once.
 *
 * Where things are: the record of the fleet, with lease, generation and digests, in IndexedDB (`tab-engine.ts`), the secrets in
 * the memory and the session storage of the tabs (`tab-secrets.ts`). What the record is and how it changes is in `fleet/`.
 *
 * @module
 */
import { assertOptions, assertString, optionError } from "../base/options.ts";
import { systemClock } from "../base/clock.ts";
import { sharedStore } from "../fleet/fleet-store.ts";
import { plain } from "../fleet/seal.ts";
import { TabChannel } from "./tab-channel.ts";
import { TabEngine } from "./tab-engine.ts";
import { TabSeal } from "./tab-seal.ts";
import { TabSecrets } from "./tab-secrets.ts";
import type { FleetStore } from "../core/supply.ts";

/** Options of {@link tabStore}. */
export interface TabStoreOptions {
  /** The name of the database, and of all else that the tabs share. Applications on one origin need names of their own. */
  readonly name?: string | undefined;
  /**
   * Where the tokens are kept. `"session"`: in the memory and the session storage of each tab; a tab that was opened anew gets
   * them from the others. `"local"`: in the database, also when all tabs are closed. Every script of the origin can read
   * both; the second for longer.
   *
   * @defaultValue "session"
   */
  readonly persist?: "session" | "local" | undefined;
  /**
   * Milliseconds after which another tab takes over from one that refreshes and does not go on. Where the browser has Web
   * Locks, a tab that was closed is noticed after two seconds, and a tab that is there has twice as long.
   *
   * @defaultValue 10_000
   */
  readonly lease?: number | undefined;
}

/**
 * Creates a store that shares a session among the tabs of one browser.
 *
 * One tab asks the refresh endpoint, and the others use its token. A rejected token is replaced once. `signIn` and `signOut`
 * hold in the other tabs at once: their caches tell `session-replaced`. A tab that is reloaded has its token. Where the
 * browser has no IndexedDB, or forbids it, each tab goes on for itself, and one warning says so.
 *
 * @throws {TypeError} When an option is wrong.
 * @example
 * ```ts
 * const tokens = createTokenCache({ grant: refreshEndpoint("/auth/refresh", { read }), origins: ["self"], store: tabStore() });
 * ```
 */
export function tabStore(options: TabStoreOptions = {}): FleetStore {
  assertOptions("tabStore", options, ["name", "persist", "lease"]);
  const { name = "remint", persist = "session", lease } = options;
  assertString("name", name);
  if (!/^[\w.-]+$/.test(name)) throw new TypeError(`"name" must consist of letters, digits and _ . - only`);
  if (persist !== "session" && persist !== "local") throw optionError("persist", persist, '"session" or "local"');
  const channel = new TabChannel(name);
  const secrets = new TabSecrets(name, channel);
  const apart = new TabSeal(secrets);
  // Another version of the page, in another tab, may keep them in the other way.
  const seals = persist === "session" ? [apart, plain] : [plain, apart];
  const shared = sharedStore(new TabEngine(name, channel), seals, {
    prefix: name,
    defaultKey: "browser",
    lease,
    loadedAt: systemClock.monotonic(),
  });
  channel.onChange((key) => shared.look(key));
  return shared.store;
}
