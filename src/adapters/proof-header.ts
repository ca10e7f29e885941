/**
 * The one header of a grant that replaces the caller's: a proof made with another key fits no token of ours, and a request
 * with two proofs has none (RFC 9449 section 4.3).
 */
export const PROOF_HEADER = "DPoP";
