import { EventEmitter, once } from "node:events";
import { createRemoteJWKSet, decodeJwt, type JWTVerifyGetKey, jwtVerify } from "jose";
import { type Api, startApi } from "remint/testing";
import { AUDIENCE, type AuthServer } from "./auth-server.ts";

/** The path that all callers request. */
export const ORDERS: string = "/orders";
/** A path whose answers are held back until a scenario releases them. */
export const SLOW: string = "/slow";
/** A path that answers 401 to every token, as a misconfigured gateway does. */
export const BROKEN: string = "/broken";

const INVALID_TOKEN = { status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' } };

/** Requests whose answers are held back. */
export interface Held {
  /** Resolves when so many requests have arrived. */
  arrived(count: number): Promise<void>;
  revokeTheirTokens(): void;
  /** Lets the API check the tokens and answer. */
  release(): void;
}

/** An API that accepts only live tokens of the authorization server. */
export class OrdersApi {
  /** How many 401s it answered. */
  refusals = 0;
  readonly #api: Api;
  readonly #issuer: string;
  readonly #keys: JWTVerifyGetKey;
  /** The `jti` of revoked tokens. A JWT stays valid until it expires, unless the API keeps a list of revoked ones. */
  readonly #denied = new Set<unknown>();
  #slow: Promise<unknown> = Promise.resolve();
  readonly #watchers: { readonly total: number; readonly reached: () => void }[] = [];

  private constructor(api: Api, auth: AuthServer) {
    this.#api = api;
    this.#issuer = auth.issuer;
    this.#keys = createRemoteJWKSet(new URL(auth.jwksUri));
  }

  static async start(auth: AuthServer): Promise<OrdersApi> {
    const server = await startApi({ accepts: () => false });
    const api = new OrdersApi(server, auth);
    server.respondAlways(async ({ url, token }) => {
      if (url === SLOW) await api.#slow;
      if (url !== BROKEN && token !== undefined && (await api.#isLive(token))) return { body: { ok: true } };
      return api.#refuse();
    });
    return api;
  }

  get origin(): string {
    return this.#api.origin;
  }

  revoke(token: string): void {
    this.#denied.add(decodeJwt(token).jti);
  }

  /** Resolves when the API has answered 401 so many more times. */
  refused(count: number): Promise<void> {
    return new Promise((reached) => this.#watchers.push({ total: this.refusals + count, reached }));
  }

  /** Holds back the answers to all requests from now on. */
  hold(): Held {
    const release = this.#api.holdAnswers();
    return { ...this.#arrivals(), release };
  }

  /** Holds back the answers to requests for {@link SLOW} only. */
  holdSlow(): Held {
    const gate = new EventEmitter();
    this.#slow = once(gate, "release");
    return { ...this.#arrivals(), release: () => gate.emit("release") };
  }

  close(): Promise<void> {
    return this.#api.close();
  }

  #arrivals(): Omit<Held, "release"> {
    const { requests } = this.#api;
    const before = requests.length;
    return {
      arrived: (count) => this.#api.waitFor(before + count),
      revokeTheirTokens: () => {
        for (const token of new Set(requests.slice(before).map((request) => request.token))) {
          if (token !== undefined) this.revoke(token);
        }
      },
    };
  }

  /** Checks signature, issuer, audience and expiry, then the list of revoked tokens. */
  async #isLive(token: string): Promise<boolean> {
    const expected = { issuer: this.#issuer, audience: AUDIENCE, typ: "at+jwt", requiredClaims: ["exp", "jti"] };
    return jwtVerify(token, this.#keys, expected).then(
      ({ payload }) => !this.#denied.has(payload.jti),
      () => false,
    );
  }

  #refuse(): typeof INVALID_TOKEN {
    this.refusals++;
    for (const { total, reached } of this.#watchers) if (this.refusals >= total) reached();
    return INVALID_TOKEN;
  }
}
