/**
 * The entry point `remint/policy`: the request policy for any HTTP client.
 *
 * The clients of this package use the policy directly (`request-policy.ts`).
 *
 * @module
 */
export { withToken } from "./request-policy.ts";
export type { ClientSeam, FailedRenewal, PolicyRequest, TokenHeaders, TokenObtained } from "./client-seam.ts";
