/**
 * Tools for tests of code that uses this package: a token endpoint and an API on loopback that answer as a test says, a
 * grant without a server, and a clock that a test moves.
 *
 * They need Node.js and no other package.
 *
 * @module
 */
export type { Answer, Script } from "./scripted-server.ts";
export { startApi } from "./api.ts";
export type { Api, ApiOptions, ApiRequest } from "./api.ts";
export { startAuthServer } from "./auth-server.ts";
export type { AuthServer, AuthServerOptions, TokenRequest } from "./auth-server.ts";
export { fakeGrant } from "./fake-grant.ts";
export type { FakeGrant, FakeGrantOptions } from "./fake-grant.ts";
export type { Hold, HoldOptions } from "./hold.ts";
export { manualClock } from "./manual-clock.ts";
export type { ManualClock, ManualClockOptions } from "./manual-clock.ts";
export type { ReceivedHeaders, ReceivedRequest, Scripted } from "./scripted-server.ts";
