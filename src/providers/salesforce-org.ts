/**
 * What all Salesforce grants have in common: the org their tokens belong to.
 *
 * @module
 */
import { tokenResponseError, type AccessToken } from "../core/access-token.ts";
import type { Grant, TokenResponse } from "../core/types.ts";
import { redactedGrant } from "../grants/redacted-grant.ts";
import { leaveState } from "../base/left-state.ts";
import { assertOptions, duration, endpointUrl } from "../base/options.ts";
import { isSessionOver, SESSION_STATUSES } from "./salesforce-session.ts";

const HALF_AN_HOUR = 30 * 60_000;

/** What Salesforce says about a token beside its value. */
export interface SalesforceToken {
  readonly instanceUrl: string | undefined;
  /** The identity URL of the user. */
  readonly id: string | undefined;
  /** Epoch milliseconds. */
  readonly issuedAt: number | undefined;
}

/** The org, as the options describe it. */
export interface OrgOptions {
  readonly loginUrl: string | URL;
  readonly instanceUrl: string | URL;
  readonly defaultTtl?: number | undefined;
  readonly allowHttp?: boolean | undefined;
}

/** {@link OrgOptions}, checked: URLs without a slash at the end. */
export interface Org {
  readonly loginUrl: string;
  readonly instanceUrl: string;
  readonly defaultTtl: number;
}

/** @throws {TypeError} When a URL is missing or wrong. */
export function orgOf(where: string, options: OrgOptions): Org {
  assertOptions(where, options);
  const { allowHttp = false } = options;
  const loginUrl = baseUrl(endpointUrl("loginUrl", options.loginUrl, allowHttp));
  const instance = endpointUrl("instanceUrl", options.instanceUrl, allowHttp);
  if (instance.hostname.endsWith(".lightning.force.com")) {
    throw new TypeError(
      `"instanceUrl" must be the org's My Domain, such as https://acme.my.salesforce.com: ` +
        `${instance.hostname} serves pages, not the API`,
    );
  }
  return {
    loginUrl,
    instanceUrl: baseUrl(instance),
    defaultTtl: duration("defaultTtl", options.defaultTtl, HALF_AN_HOUR),
  };
}

function baseUrl({ origin, pathname }: URL): string {
  return origin + pathname.replace(/\/+$/, "");
}

/** The grant with what is Salesforce's: where its tokens go, when they are over, which are not the org's. */
export function forOrg<State>(org: Org, grant: Grant<State>): Grant<State> {
  return redactedGrant<State>({
    ...grant,
    origins: [new URL(org.instanceUrl).origin],
    defaultTtl: org.defaultTtl,
    isRejected: isSessionOver,
    inspectStatuses: SESSION_STATUSES,
    async mint(context) {
      const { signature: _signature, ...token } = await grant.mint(context);
      checkInstance(token, org);
      return token;
    },
  });
}

function checkInstance(token: TokenResponse, { instanceUrl }: Org): void {
  const given = token["instance_url"];
  try {
    if (baseUrl(new URL(given as string)).toLowerCase() === instanceUrl.toLowerCase()) return;
  } catch {
    // Not a URL at all: told below.
  }
  const message = `the token is for another org: its "instance_url" is not the configured instanceUrl ${instanceUrl}`;
  throw leaveState(tokenResponseError(message), token["state"]);
}

/** What Salesforce said about a token that one of these grants obtained. */
export function salesforceToken({ response }: AccessToken): SalesforceToken {
  const { instance_url: instanceUrl, id, issued_at: issued } = response;
  const issuedAt = typeof issued === "string" && /^\d+$/.test(issued) ? Number(issued) : undefined;
  return {
    instanceUrl: typeof instanceUrl === "string" ? instanceUrl.replace(/\/+$/, "") : undefined,
    id: typeof id === "string" ? id : undefined,
    issuedAt,
  };
}
