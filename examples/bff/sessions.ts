import { randomUUID } from "node:crypto";
import { createTokenCache, createTokenPool, customGrant } from "remint";
import { requestUserToken } from "./token-request.ts";
import type { Grant, TokenCache, TokenPool } from "remint";
import type { UserToken } from "./token-request.ts";

interface Session {
  readonly initial: UserToken & { readonly receivedAt: number };
  /**
   * The newest refresh token. The pool may let go of an idle cache, so it is kept here (a real BFF keeps it in its
   * session store).
   */
  refreshToken: string;
}

/** The sessions of signed-in users, and a token cache for each. The browser only gets the id of its session. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  readonly #pool: TokenPool;
  readonly #tokenEndpoint: string;

  constructor(tokenEndpoint: string, upstream: string) {
    this.#tokenEndpoint = tokenEndpoint;
    this.#pool = createTokenPool({
      create: (id) => {
        const session = this.#sessions.get(id) as Session;
        return createTokenCache({
          grant: this.#refreshing(session),
          initial: session.initial,
          origins: [upstream],
        });
      },
    });
  }

  /** Begins a session: exchanges the code of a sign-in for the first token. Resolves to the session's id. */
  async begin(code: string): Promise<string> {
    const token = await requestUserToken(this.#tokenEndpoint, { grant_type: "authorization_code", code });
    const id = randomUUID();
    const initial = { ...token, receivedAt: Date.now() };
    this.#sessions.set(id, { initial, refreshToken: token.refresh_token });
    return id;
  }

  /** Returns the token cache of a session; `undefined` when there is no session with this id. */
  tokens(id: string | undefined): TokenCache | undefined {
    return id !== undefined && this.#sessions.has(id) ? this.#pool.get(id) : undefined;
  }

  async end(id: string): Promise<void> {
    this.#sessions.delete(id);
    await this.#pool.release(id);
  }

  async close(): Promise<void> {
    await this.#pool.close();
  }

  #refreshing(session: Session): Grant {
    const endpoint = this.#tokenEndpoint;
    return customGrant<string>({
      // With a state, a mint is never repeated: a refresh token may be used up although the answer was lost.
      state: () => session.refreshToken,
      onState: (next) => void (session.refreshToken = next),
      async mint({ signal, state: refresh_token = "" }) {
        const token = await requestUserToken(endpoint, { grant_type: "refresh_token", refresh_token }, signal);
        return { ...token, state: token.refresh_token };
      },
    });
  }
}
