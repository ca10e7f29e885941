import { SUBPATHS } from "./scripts/subpaths.mjs";

/** @type {import("typedoc").TypeDocOptions} */
export default {
  entryPoints: SUBPATHS.map(({ source }) => `src/${source}`),
  tsconfig: "tsconfig.json",
  skipErrorChecking: true,
  out: "docs/api",
  readme: "none",
  disableGit: true,
  sourceLinkTemplate: "{path}",
  excludePrivate: true,
  excludeInternal: true,
  requiredToBeDocumented: ["Class", "Interface", "TypeAlias", "Function", "Variable", "CallSignature"],
  // Parts of public types that nobody has to name.
  intentionallyNotExported: [
    "RequestConfig",
    "CryptoKey",
    "DatedToken",
    "EndedMint",
    "MaybePromise",
    "ObtainedToken",
    "Repeating",
    "RemintErrorOptions",
    "StatefulCustomGrant",
    "StatelessCustomGrant",
    "TokenEndpointErrorOptions",
    "Opaque",
    "PlainTokenResponse",
    "StringSource",
    "TimestampedToken",
  ],
  validation: { notExported: true, invalidLink: true, notDocumented: true },
  treatWarningsAsErrors: true,
};
