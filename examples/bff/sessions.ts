import { randomUUID } from "node:crypto";
import { createTokenCache, createTokenPool, customGrant } from "remint";
import { requestUserToken } from "./token-request.ts";
import type { Grant, TokenCache, TokenPool } from "remint";
import type { UserToken } from "./token-request.ts";

interface Session {
  readonly initial: UserToken & { readonly receivedAt: number };
  /** The newest there is. The pool may let go of an idle cache, so it is kept here (in a real BFF: in its session store). */
  refreshToken: string;
}

/** Who is signed in, and the token cache of each. The browser only ever sees the session's id. */
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

  /** Redeems the code of a sign-in; the token that comes with it is the session's first. */
  async begin(code: string): Promise<string> {
    const token = await requestUserToken(this.#tokenEndpoint, { grant_type: "authorization_code", code });
    const id = randomUUID();
    const initial = { ...token, receivedAt: Date.now() };
    this.#sessions.set(id, { initial, refreshToken: token.refresh_token });
    return id;
  }

  /** The token cache of a session; `undefined` when nobody is signed in under that id. */
  tokens(id: string | undefined): TokenCache | undefined {
    return id !== undefined && this.#sessions.has(id) ? this.#pool.get(id) : undefined;
  }

  async end(id: string): Promise<void> {
    this.#sessions.delete(id);
    await this.#pool.release(id);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }

  #refreshing(session: Session): Grant {
    const endpoint = this.#tokenEndpoint;
    return customGrant<string>({
      endpoint,
      // A grant with state is never repeated on its own: a refresh token whose answer was lost may be used up.
      state: session.refreshToken,
      async mint({ signal, state = session.refreshToken }) {
        const token = await requestUserToken(endpoint, { grant_type: "refresh_token", refresh_token: state }, signal);
        session.refreshToken = token.refresh_token;
        return { ...token, state: token.refresh_token };
      },
    });
  }
}
