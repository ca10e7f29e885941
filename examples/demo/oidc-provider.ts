import type { RequestListener } from "node:http";

/** The part of oidc-provider that this demo uses. The package has no types. */
export interface OidcProvider {
  callback(): RequestListener;
  on(event: "server_error", listener: (context: unknown, error: Error) => void): void;
}

interface OidcProviderModule {
  readonly Provider: new (issuer: string, configuration: object) => OidcProvider;
}

/**
 * Creates a provider, without the warnings that it prints.
 *
 * On Node.js 20 the package warns that the runtime is not supported, and always that tokens in memory do not survive a
 * restart. Neither matters in a demo. Other output is not suppressed.
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
    // In a variable, so that the compiler does not look for types.
    const name: string = "oidc-provider";
    const { Provider } = (await import(name)) as OidcProviderModule;
    return new Provider(issuer, configuration);
  } finally {
    Object.assign(console, { warn, info });
  }
}
