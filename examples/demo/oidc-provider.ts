import type { RequestListener } from "node:http";

/** The part of oidc-provider that this demo uses. The package has no types. */
export interface OidcProvider {
  callback(): RequestListener;
  on(event: "server_error", listener: (context: unknown, error: Error) => void): void;
}

/** The package. Other members than these are in it too. */
export interface OidcProviderModule {
  readonly Provider: new (issuer: string, configuration: object) => OidcProvider;
}

/** Creates a provider, without the warnings that it prints: that tokens in memory do not survive a restart. */
export async function createOidcProvider(issuer: string, configuration: object): Promise<OidcProvider> {
  const { Provider } = await importOidcProvider();
  return withoutAdvice(() => new Provider(issuer, configuration));
}

/** Imports the package, without the warning that it prints on Node.js 20. */
export function importOidcProvider(): Promise<OidcProviderModule> {
  // In a variable, so that the compiler does not look for types.
  const name: string = "oidc-provider";
  return withoutAdvice(() => import(name) as Promise<OidcProviderModule>);
}

/** Runs a function without the warnings of the package. Other output is not suppressed. */
async function withoutAdvice<T>(run: () => T | Promise<T>): Promise<T> {
  const { warn, info } = console;
  const unlessAdvice = (write: typeof warn): typeof warn => {
    return (...values) => {
      if (!/oidc-provider (WARNING|NOTICE): /.test(String(values[0]))) write(...values);
    };
  };
  Object.assign(console, { warn: unlessAdvice(warn), info: unlessAdvice(info) });
  try {
    return await run();
  } finally {
    Object.assign(console, { warn, info });
  }
}
