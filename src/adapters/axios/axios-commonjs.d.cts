// The `remint` key of axios' config for CommonJS users: their `axios` is another set of types than the ESM one.
import type { RequestOverride } from "../../policy/choose-cache.js" with { "resolution-mode": "import" };

declare module "axios" {
  interface AxiosRequestConfig {
    /** What this one request wants of remint: `false`, another cache, or `{ retry, body, cache }`. */
    remint?: RequestOverride | undefined;
  }
}
