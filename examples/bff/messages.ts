/**
 * What the server tells the page: one JSON object for each message of `/demo/events`. Times are epoch milliseconds. A token is
 * named by a fingerprint of four characters.
 *
 * @module
 */

/** The two backends that get the same requests. */
export type LaneName = "usual" | "remint";

/** One message of the feed. No message holds a token, a value of a cookie, or the id of a session. */
export interface Message {
  readonly type: string;
  readonly [member: string]: unknown;
}
