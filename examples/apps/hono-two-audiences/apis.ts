/**
 * The two APIs. Each takes only tokens that were issued for it; one client has a token for each.
 *
 * @module
 */
import assert from "node:assert/strict";
import { clientCredentialsGrant, createTokenCache } from "remint";
import { createAuthFetch } from "remint/fetch";

const { ISSUER, CLIENT_ID, CLIENT_SECRET, ORDERS_API, BILLING_API } = process.env;
assert(ISSUER, "Set ISSUER, such as https://auth.example");
assert(CLIENT_ID, "Set CLIENT_ID, the id of this program at the authorization server");
assert(CLIENT_SECRET, "Set CLIENT_SECRET, the secret of that client");
assert(ORDERS_API, "Set ORDERS_API, such as https://orders.example/v1");
assert(BILLING_API, "Set BILLING_API, such as https://billing.example/v1");

const origins = [ORDERS_API, BILLING_API].map((url) => new URL(url).origin);

export const tokens = createTokenCache({
  grant: clientCredentialsGrant({ issuer: ISSUER, clientId: CLIENT_ID, clientSecret: CLIENT_SECRET }),
  origins,
});

// The first of the list whose origins have the URL's. Auth0 names an API by `audience`, most others by `resource`.
const authFetch = createAuthFetch([
  tokens.for({ audience: "orders", origins: origins.slice(0, 1) }),
  tokens.for({ audience: "billing", origins: origins.slice(1) }),
]);

/** What an API answered in place of what was asked for. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly status: number;

  constructor(url: string, status: number) {
    super(`${url} answered ${status}`);
    this.status = status;
  }
}

async function read(url: string): Promise<object> {
  const response = await authFetch(url, { signal: AbortSignal.timeout(15_000) });
  if (!response.ok) throw new ApiError(url, response.status);
  return (await response.json()) as object;
}

export const readOrder = (id: string): Promise<object> => read(`${ORDERS_API}/orders/${encodeURIComponent(id)}`);
export const readInvoice = (id: string): Promise<object> => read(`${BILLING_API}/invoices/${encodeURIComponent(id)}`);
