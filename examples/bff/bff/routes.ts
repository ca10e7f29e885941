/**
 * The routes of the BFF in one table: a path, a guard, and what answers. `app.ts` puts it into Hono.
 *
 * @module
 */
import type { Guard } from "./csrf.ts";
import type { Sessions } from "./sessions.ts";
import type { SignIns } from "./sign-in.ts";
import type { SignOuts } from "./sign-out.ts";
import { userOf } from "./user.ts";

/** One route. There is none without a guard. */
export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly guard: Guard;
  readonly answer: (request: Request) => Response | Promise<Response>;
}

/** The parts that the routes are made of. */
export interface Parts {
  readonly sessions: Sessions;
  readonly signIns: SignIns;
  readonly signOuts: SignOuts;
}

/** The routes below `/bff`. The APIs are behind `createAuthProxy`, which has a guard of its own. */
export function bffRoutes({ sessions, signIns, signOuts }: Parts): readonly Route[] {
  return [
    { method: "GET", path: "/bff/login", guard: "navigation", answer: (request) => signIns.begin(request) },
    { method: "GET", path: "/bff/callback", guard: "callback", answer: (request) => signIns.finish(request) },
    { method: "GET", path: "/bff/user", guard: "header", answer: (request) => userOf(request, sessions) },
    { method: "POST", path: "/bff/logout", guard: "form", answer: (request) => signOuts.byUser(request) },
    {
      method: "POST",
      path: "/bff/backchannel",
      guard: "back-channel",
      answer: (request) => signOuts.byServer(request),
    },
  ];
}
