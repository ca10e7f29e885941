// Declares the `remint` key of axios' config for CommonJS users. axios has separate types for CommonJS and for ES
// modules; `index.ts` declares the key for the latter.
import type { RequestOverride } from "../../policy/choose-cache.js" with { "resolution-mode": "import" };

declare module "axios" {
  interface AxiosRequestConfig {
    /** Overrides remint's settings for one request: `false`, another cache, or `{ cache, retry, body }`. */
    remint?: RequestOverride | undefined;
  }
}

/** The key `remint` in the config of an axios request: `false`, another cache, or `{ cache, retry, body }`. */
export type AxiosRequestOverride = RequestOverride;
