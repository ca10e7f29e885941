/**
 * What Chalk says about a token beside its value: environments, and where their engines are.
 *
 * @module
 */
import type { AccessToken } from "../core/access-token.ts";
import { isLoopback } from "../base/options.ts";

/** What Chalk says about a token beside its value. */
export interface ChalkToken {
  readonly primaryEnvironment: string | undefined;
  /** Environment id to the URL of its query engine. */
  readonly engines: Readonly<Record<string, string>>;
  /** Environment id to the address of its gRPC engine. */
  readonly grpcEngines: Readonly<Record<string, string>>;
  readonly environmentNames: Readonly<Record<string, string>>;
  readonly apiServer: string | undefined;
  /** The URL of an environment's engine; without one named, the primary environment's. By id or by name. */
  engineFor(environment?: string): string | undefined;
  /** {@link ChalkToken.engineFor} for gRPC. */
  grpcEngineFor(environment?: string): string | undefined;
}

type Strings = Readonly<Record<string, string>>;

/** What Chalk said about a token that a `chalk` grant obtained. */
export function chalkToken({ response }: AccessToken): ChalkToken {
  const { primary_environment: primary, api_server: apiServer } = response;
  const token = {
    primaryEnvironment: textOf(primary),
    engines: stringsOf(response["engines"]),
    grpcEngines: stringsOf(response["grpc_engines"]),
    environmentNames: stringsOf(response["environment_id_to_name"]),
    apiServer: textOf(apiServer),
  };
  const from = (engines: Strings, environment: string | undefined): string | undefined => {
    const id = environmentId(token, environment);
    return id !== undefined && Object.hasOwn(engines, id) ? engines[id] : undefined;
  };
  return {
    ...token,
    engineFor: (environment) => from(token.engines, environment),
    grpcEngineFor: (environment) => from(token.grpcEngines, environment),
  };
}

type Environments = Pick<ChalkToken, "primaryEnvironment" | "environmentNames">;

/** The id of an environment that was given by id or name. */
export function environmentId(
  { primaryEnvironment, environmentNames }: Environments,
  named?: string,
): string | undefined {
  if (named === undefined) return primaryEnvironment;
  const [id] = Object.entries(environmentNames).find(([, name]) => name === named) ?? [];
  return Object.hasOwn(environmentNames, named) ? named : (id ?? named);
}

/** Where a token may be sent: the API server and the engines, but never in the clear unless that is allowed. */
export function tokenOrigins(token: ChalkToken, apiServer: string, allowHttp: boolean): string[] {
  const urls = [apiServer, token.apiServer, ...Object.values(token.engines), ...Object.values(token.grpcEngines)];
  return urls.flatMap((url) => {
    try {
      // A gRPC engine may be a bare host and port.
      const { origin, protocol, hostname } = new URL(url?.includes("://") === false ? `https://${url}` : url!);
      const isSafe = protocol === "https:" || (protocol === "http:" && (allowHttp || isLoopback(hostname)));
      return isSafe ? [origin] : [];
    } catch {
      return []; // An engine that has no usable address gets no token; the others do.
    }
  });
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function stringsOf(value: unknown): Strings {
  const entries = Object.entries(Object(value) as object).filter(([, text]) => textOf(text) !== undefined);
  return Object.fromEntries(entries) as Strings;
}
