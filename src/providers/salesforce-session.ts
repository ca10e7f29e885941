/**
 * How Salesforce's APIs say that a session is over, and how they say other things that look like it.
 *
 * @module
 */
import type { RejectionRule } from "../core/types.ts";

/** Statuses beside 401 under which a session that is over may hide. */
export const SESSION_STATUSES: readonly number[] = [400, 500];

/** Errors are short; what comes after this is somebody's data. */
const LONGEST_ERROR = 16_384;

/** 401 bodies no new token helps against: the app, the user or the network is what is not allowed. */
const NOT_THE_SESSION = [
  "Connected app is not attached to Agent",
  "This session is not valid for use with the REST API",
  "BlackTab users cannot perform API operations",
];

/** Bulk API v1: XML or JSON. */
const BULK_EXPIRED = /<exceptionCode>\s*InvalidSessionId\s*<|"exceptionCode"\s*:\s*"InvalidSessionId"/;
/** SOAP: the fault's code with whatever prefix its namespace has. */
const SOAP_EXPIRED = /<(?:[\w.-]+:)?faultcode>\s*(?:[\w.-]+:)?INVALID_SESSION_ID\s*</;

/** Whether an answer of a Salesforce API says that the session is over. */
export const isSessionOver: RejectionRule = async ({ status, text }) => {
  const body = await text(LONGEST_ERROR);
  if (status === 400) return BULK_EXPIRED.test(body);
  if (status === 500) return SOAP_EXPIRED.test(body);
  if (status !== 401) return undefined;
  return NOT_THE_SESSION.some((reason) => body.includes(reason)) ? false : undefined;
};
