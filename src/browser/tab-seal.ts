/**
 * Writes records for the database of the tabs: everything but the secrets, which stay with the tabs (`tab-secrets.ts`). In their
 * place stand digests.
 *
 * It also knows whether the tab that holds a lease is still there: while a tab refreshes, it holds a Web Lock named after it.
 *
 * @module
 */
import { fromBase64, jsonObject, toBase64url, utf8 } from "../base/bytes.ts";
import type { Seal } from "../fleet/seal.ts";
import type { TabSecrets } from "./tab-secrets.ts";

/** Milliseconds that remain of the lease of a tab that is gone: its last request may just be bringing the next cookie. */
const AFTERMATH = 2000;
/**
 * Milliseconds of the lease of a tab that is there. The clock may have been set, or the machine may have slept: a lease that does
 * not change any more is over all the same (`fleet/decision.ts`).
 */
const LONG = Number.MAX_SAFE_INTEGER;

type Members = Record<string, unknown>;

/** The seal of records whose secrets are elsewhere. */
export class TabSeal implements Seal {
  readonly #secrets: TabSecrets;
  /** Ends the Web Lock of a lease, by the key of the record. */
  readonly #holding = new Map<string, () => void>();

  constructor(secrets: TabSecrets) {
    this.#secrets = secrets;
  }

  id(): Promise<string> {
    return Promise.resolve("tabs");
  }

  async seal(record: object, context: string): Promise<string> {
    const { tokens, state, holder } = record as Members;
    await this.#hold(keyIn(context), holder);
    const named = Object.entries(tokens as Members).map(([name, target]) => [name, this.#apart(target as Members)]);
    const digest = state === undefined ? undefined : this.#secrets.keep(state);
    const written = { ...record, tokens: Object.fromEntries(named), ...(digest && { state: { digest } }) };
    return toBase64url(utf8(JSON.stringify(written)));
  }

  async open(text: string): Promise<Members | undefined> {
    const bytes = fromBase64(text);
    const record = bytes && jsonObject(bytes);
    if (record === undefined || !isMembers(record["tokens"])) return undefined;
    const tokens: Members = {};
    for (const [name, target] of Object.entries(record["tokens"])) tokens[name] = await this.#together(target);
    const { state: named, ...rest } = record;
    const state = isMembers(named) ? await this.#secrets.find(String(named["digest"])) : undefined;
    const opened: Members = { ...rest, tokens, ...(state !== undefined && { state }) };
    const isThere = await this.#isThere(record["holder"]);
    if (isThere === true) opened["lease"] = LONG;
    else if (isThere === false) opened["lease"] = Math.min(Number(record["lease"]), AFTERMATH);
    return opened;
  }

  #apart(target: Members): Members {
    const token = target["token"] as { readonly response: Members } | undefined;
    if (token === undefined) return target;
    const digest = this.#secrets.keep(token.response["access_token"]);
    return { ...target, token: { ...token, response: { ...token.response, access_token: digest } } };
  }

  /** A token that no tab has any more is as good as none. */
  async #together(target: unknown): Promise<unknown> {
    if (!isMembers(target) || !isMembers(target["token"])) return target;
    const { token, ...rest } = target;
    const { response } = token;
    if (!isMembers(response)) return rest;
    const value = await this.#secrets.find(String(response["access_token"]));
    return value === undefined
      ? rest
      : { ...rest, token: { ...token, response: { ...response, access_token: value } } };
  }

  /** Holds a Web Lock while this tab has the lease of the record. */
  async #hold(key: string, holder: unknown): Promise<void> {
    if (holder !== undefined && this.#holding.has(key)) return;
    this.#holding.get(key)?.();
    this.#holding.delete(key);
    const available = locks();
    if (holder === undefined || available === undefined) return;
    await new Promise<void>((resolve) => {
      const held = available.request(lockOf(holder), () => {
        resolve();
        return new Promise<void>((release) => this.#holding.set(key, release));
      });
      held.catch(() => resolve());
    });
  }

  /** `undefined`: there is no lease, or the browser does not tell. */
  async #isThere(holder: unknown): Promise<boolean | undefined> {
    if (holder === undefined) return undefined;
    try {
      const { held = [], pending = [] } = await locks()!.query();
      return [...held, ...pending].some(({ name }) => name === lockOf(holder));
    } catch {
      return undefined;
    }
  }
}

function locks(): LockManager | undefined {
  return (globalThis.navigator as Navigator | undefined)?.locks;
}

function lockOf(holder: unknown): string {
  return `remint:lease:${String(holder)}`;
}

/** The key of the record is the end of its context. */
function keyIn(context: string): string {
  return context.slice(context.lastIndexOf("|") + 1);
}

function isMembers(value: unknown): value is Members {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
