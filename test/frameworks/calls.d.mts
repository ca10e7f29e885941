import type { Clock } from "remint";
import type { Answer } from "remint/testing";

export type Client = "axios" | "ofetch" | "fetch";
/**
 * Why no token can be had: the endpoint answers 503 with `Retry-After: 7`, it answers `invalid_client`, it says that the
 * user has to sign in again, or it closes the connection.
 */
export type FailureName = "unavailable" | "refused" | "ended" | "unreachable";

export declare const CLIENTS: readonly Client[];
export declare const ANSWERS: Readonly<Record<string, Answer>>;
export declare const SECRETS: readonly string[];
export declare function createCalls(
  tokenServer: string,
  clock?: Clock,
): (client: Client, failure: FailureName) => Promise<unknown>;
