export const DEPENDENCIES: readonly string[];
export const PEERS: readonly string[];
export const SUBPATHS: readonly {
  readonly subpath: string;
  readonly name: string;
  readonly source: string;
  readonly module: string;
  readonly types: string;
  readonly packages: readonly string[];
  readonly without: readonly string[];
  readonly size: string;
}[];
export function packageExports(): Record<string, unknown>;
export function sourcePaths(): Record<string, string[]>;
