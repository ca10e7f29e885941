/**
 * The entry point `remint/browser`: what a page needs whose tokens come from a refresh endpoint of its own server.
 *
 * `refreshEndpoint` works outside of browsers too. Which token goes where in a browser is in `docs/browser.md`.
 *
 * @module
 */
export { refreshEndpoint } from "./refresh-endpoint.ts";
export type { RefreshedToken, RefreshEndpointOptions } from "./refresh-endpoint.ts";
export { tabStore } from "./tab-store.ts";
export type { TabStoreOptions } from "./tab-store.ts";
