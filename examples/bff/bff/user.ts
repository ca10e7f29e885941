/**
 * `GET /bff/user`: who is signed in. The page asks it, because the HTML is the same for everybody.
 *
 * @module
 */
import type { Claims, Sessions } from "./sessions.ts";

/** Claims of the ID token that say nothing about the user. */
const PROTOCOL_CLAIMS = ["iss", "aud", "azp", "exp", "iat", "nonce", "at_hash", "c_hash", "s_hash", "jti"];

/** Answers with the user and the session, or with `{ user: null }`. Does not count as use of the session. */
export async function userOf(request: Request, sessions: Sessions): Promise<Response> {
  const session = await sessions.find(request, { slides: false });
  if (session === undefined) return Response.json({ user: null });
  const { claims, idleUntil, absoluteUntil } = session;
  const { sub, name, acr, auth_time: authTime } = claims;
  return Response.json({
    user: { name: typeof name === "string" ? name : sub, sub },
    session: { acr, authTime, idleUntil, absoluteUntil, claims: withoutProtocol(claims) },
  });
}

function withoutProtocol(claims: Claims): Record<string, unknown> {
  return Object.fromEntries(Object.entries(claims).filter(([claim]) => !PROTOCOL_CLAIMS.includes(claim)));
}
