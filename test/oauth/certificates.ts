/**
 * Certificates for tests of TLS on loopback. The `openssl` command makes them, because Node has no function that issues
 * certificates.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Certificates {
  /** The certificate authority that signed the two other certificates. */
  readonly ca: string;
  readonly server: Certificate;
  /** The client certificate, with the subject `CN=orders`. */
  readonly client: Certificate;
}

export const hasOpenssl: boolean = spawnSync("openssl", ["version"]).status === 0;

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];

export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), "remint-certificates-"));
  const make = (name: string, ...more: string[]): Certificate => {
    const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
    const { status, stderr } = spawnSync("openssl", ["req", "-x509", ...NEW_KEY, ...files, ...more], { cwd: folder });
    if (status !== 0) throw new Error(`openssl: ${String(stderr)}`);
    const read = (file: string): string => readFileSync(join(folder, file), "utf8");
    return { cert: read(`${name}.pem`), key: read(`${name}.key`) };
  };
  try {
    const { cert: ca } = make("ca", "-subj", "/CN=remint test CA");
    const signed = ["-CA", "ca.pem", "-CAkey", "ca.key"];
    const names = "subjectAltName=IP:127.0.0.1";
    const leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    const server = make("server", ...signed, ...leaf, "-subj", "/CN=localhost", "-addext", names);
    return { ca, server, client: make("client", ...signed, ...leaf, "-subj", "/CN=orders") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
