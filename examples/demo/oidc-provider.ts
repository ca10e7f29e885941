import type { RequestListener } from "node:http";

/** The part of oidc-provider this demo uses; the package brings no types. */
export interface OidcProvider {
  callback(): RequestListener;
  on(event: "server_error", listener: (context: unknown, error: Error) => void): void;
}

interface OidcProviderModule {
  readonly Provider: new (issuer: string, configuration: object) => OidcProvider;
}

/**
 * Creates a provider without its advice for production.
 *
 * On Node.js 20 it calls the runtime unsupported when it is imported, and on any it says that tokens in memory do not
 * survive a restart. Both are beside the point here; everything else that is written meanwhile is let through.
 */
export async function createOidcProvider(issuer: string, configuration: object): Promise<OidcProvider> {
  const { warn, info } = console;
  const unlessAdvice = (write: typeof warn): typeof warn => {
    return (...values) => {
      if (!/oidc-provider (WARNING|NOTICE): /.test(String(values[0]))) write(...values);
    };
  };
  Object.assign(console, { warn: unlessAdvice(warn), info: unlessAdvice(info) });
  try {
    // A name the compiler does not look up, because there are no types to find.
    const name: string = "oidc-provider";
    const { Provider } = (await import(name)) as OidcProviderModule;
    return new Provider(issuer, configuration);
  } finally {
    Object.assign(console, { warn, info });
  }
}
