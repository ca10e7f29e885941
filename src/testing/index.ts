/**
 * Tools for tests of code that uses this package: an authorization server and an API on loopback that answer as a test
 * says, a grant without a server, a table of sessions whose saves fail on demand, and a clock that a test moves.
 *
 * They need Node.js, and no package that `remint` itself does not need.
 *
 * @module
 */
export type { Answer, HoldAnswersOptions, Script } from "./scripted-server.ts";
export { startApi } from "./api.ts";
export type { Api, ApiOptions, ApiRequest } from "./api.ts";
export type { AuthLogEntry, IssuedValues } from "./auth-log.ts";
export { startAuthServer } from "./auth-server.ts";
export type { AuthServer, AuthServerOptions, SignInOptions } from "./auth-server.ts";
export { damagedAnswer } from "./damaged-answer.ts";
export type { Damage } from "./damaged-answer.ts";
export type { SignInAnswer, TokenRequest } from "./endpoints.ts";
export { fakeGrant } from "./fake-grant.ts";
export type { FakeGrant, FakeGrantOptions } from "./fake-grant.ts";
export { fakeSessions } from "./fake-sessions.ts";
export type { FakeSessions, SessionLogEntry } from "./fake-sessions.ts";
export type { Hold, HoldOptions } from "./hold.ts";
export type { EndOfSignIn, TokenInfo } from "./issued-tokens.ts";
export { manualClock } from "./manual-clock.ts";
export type { ManualClock, ManualClockOptions } from "./manual-clock.ts";
export type { ReceivedHeaders, ReceivedRequest, Scripted } from "./scripted-server.ts";
