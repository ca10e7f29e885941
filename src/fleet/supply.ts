/**
 * The supply of a cache in a fleet: what the core asks for tokens (`core/supply.ts`), put together from the flights, the
 * sign-ins and sign-outs, and what this process knows of the record.
 *
 * @module
 */
import { CLOSED } from "../core/supply.ts";
import { startFlight } from "./flight.ts";
import { KnownSession } from "./known-session.ts";
import { fingerprintOf, hasSessions, recordName, storeKey } from "./record-name.ts";
import { StoreFault } from "./link.ts";
import { targetIn } from "./record.ts";
import { signIn, signOut, storeError } from "./sign.ts";
import type { Target } from "../core/grant.ts";
import type { FleetCache, Obtaining, SupplyMember, TokenNeed, TokenSupply } from "../core/supply.ts";
import type { AccessToken, CloseReport, KeyDescription, Session, SignInResponse } from "../core/types.ts";
import type { Fleet } from "./link.ts";
import type { Phase } from "./record.ts";

/** The supplies of sessions that are open in this process, by the key of their record. */
export type OpenSupplies = Map<string, WeakRef<FleetSupply>>;

/** {@link TokenSupply} over the record that a fleet shares. */
export class FleetSupply implements TokenSupply {
  readonly #fleet: Fleet;
  #settings: FleetCache;
  readonly #open: OpenSupplies;
  readonly #known: KnownSession;
  /** A grant without sessions has a record for each target. */
  readonly #others: WeakRef<FleetSupply>[] = [];
  readonly #flights = new Set<Obtaining>();
  #isClosed = false;

  /** @throws {TypeError} When nothing says whose token it is, or when the record has a supply in this process already. */
  constructor(fleet: Fleet, settings: FleetCache, open: OpenSupplies, target?: Target) {
    this.#fleet = fleet;
    this.#settings = settings;
    this.#open = open;
    const key = storeKey(fleet.prefix, recordName(settings, target));
    if (hasSessions(settings.grant)) {
      if (open.get(key)?.deref() !== undefined) {
        throw new TypeError(
          `"store" has a cache of this session in this process already: close that one first. If the two are meant to have ` +
            `sessions of their own, give each store another "prefix" (a tabStore: another "name"), or each grant another "key"`,
        );
      }
      open.set(key, new WeakRef(this));
      collected.register(this, () => void (open.get(key)?.deref() ?? open.delete(key)));
    }
    this.#known = new KnownSession(fleet, settings, key);
  }

  get session(): Session | undefined {
    return this.#known.session;
  }

  serves(session: Session): boolean {
    return this.#known.isCurrent(session);
  }

  get isBusy(): boolean {
    return this.#known.isBusy;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  obtain(need: TokenNeed): Obtaining {
    const { leftWith } = this.#known;
    // The callers of the mint in progress have left it: it would take these ones too long as well.
    if (leftWith !== undefined) {
      return { promise: Promise.reject(leftWith.asKnown()), hold: () => {}, abandon: () => {} };
    }
    const flight = startFlight(this.#known, need, fingerprintOf(this.#settings.grant, need.target));
    const end = (): void => void this.#flights.delete(flight);
    this.#flights.add(flight);
    flight.promise.then(end, end);
    return flight;
  }

  refuses(value: string): boolean {
    return this.#known.refuses(value);
  }

  accepted(value: string): void {
    void this.#known.resetStrikes(value);
  }

  signIn(response: SignInResponse): Promise<void> {
    return signIn(this.#known, response, fingerprintOf(this.#settings.grant, undefined));
  }

  async signOut(options: { readonly revoke: boolean; readonly tokens: readonly AccessToken[] }): Promise<void> {
    await signOut(this.#known, options);
  }

  /** Looks at what others have written: whether the session is over, or another has begun. Never throws. */
  look(): void {
    void this.#known.track(this.#lookNow().catch(() => {}));
  }

  async #lookNow(): Promise<void> {
    const { link, clock, callTimeout: timeout } = this.#fleet;
    const readAt = clock.monotonic();
    const { current } = await link.read(this.#known.key, { timeout });
    const seen = current && (await this.#known.read(current, readAt));
    if (seen?.kind === "record" && !this.#known.isBygone(seen)) this.#known.meet(seen.record);
  }

  async describe(): Promise<KeyDescription> {
    const { link, clock, callTimeout: timeout } = this.#fleet;
    const { key } = this.#known;
    const readAt = clock.monotonic();
    try {
      const { current } = await link.read(key, { timeout, ignoresPause: true });
      if (current === undefined) return { record: key, phase: "absent" };
      const seen = await this.#known.read(current, readAt);
      const now = clock.monotonic();
      const entry = { record: key, version: seen.version, ...(current.ttl >= 0 && { ttl: current.ttl }) };
      if (seen.kind !== "record") return { ...entry, phase: "unreadable" };
      const { phase, holder } = seen.record;
      const { token } = targetIn(seen.record, fingerprintOf(this.#settings.grant, undefined));
      return {
        ...entry,
        phase: PHASES[phase],
        age: Math.max(0, now - seen.writtenAt),
        ...(token && { expiresIn: token.until - now }),
        ...(phase === "L" && { holder }),
      };
    } catch (fault) {
      throw fault instanceof StoreFault ? storeError(fault, "nothing is known of the record") : fault;
    }
  }

  async close({ within }: { readonly within: number }): Promise<CloseReport> {
    const { clock } = this.#fleet;
    const until = clock.monotonic() + within;
    // What is in progress goes on as in a process of its own: whoever opens the session again here waits for its lease.
    if (this.#open.get(this.#known.key)?.deref() === this) this.#open.delete(this.#known.key);
    this.#isClosed = true;
    const others = this.#others.flatMap((reference) => reference.deref() ?? []);
    this.#known.tell((member) => member.shut());
    for (const flight of this.#flights) flight.abandon(CLOSED);
    const reports = await Promise.all(others.map((other) => other.close({ within })));
    const isSettled = await this.#known.settled(within);
    const { state } = this.#known;
    await state?.save(until - clock.monotonic());
    // Unless another cache goes on with it.
    if (this.#isClosed) state?.stop();

    const unsaved = this.#known.isUnpublished || state?.isUnsaved === true;
    return {
      inFlight: (!isSettled && !this.#known.isUnpublished) || reports.some((report) => report.inFlight),
      unsaved,
    };
  }

  continueWith(other: TokenSupply): TokenSupply | undefined {
    if (!(#known in other) || !this.#known.hasSessions) return undefined;
    if (other.#fleet !== this.#fleet || other.#known.key !== this.#known.key) return undefined;
    this.#settings = other.#settings;
    this.#isClosed = false;
    this.#known.continueWith(this.#settings);
    this.#open.set(this.#known.key, new WeakRef(this));
    return this;
  }

  for(target: Target): TokenSupply {
    if (hasSessions(this.#settings.grant)) return this;
    const other = new FleetSupply(this.#fleet, this.#settings, this.#open, target);
    this.#others.push(new WeakRef(other));
    return other;
  }

  join(member: SupplyMember): void {
    this.#known.join(member);
  }
}

/** The phases of a record, in words for an operator. */
const PHASES: Readonly<Record<Phase, KeyDescription["phase"]>> = {
  T: "token",
  L: "minting",
  R: "refused",
  E: "signed-out",
};

/** Forgets supplies that were collected. */
const collected = new FinalizationRegistry<() => void>((forget) => forget());
