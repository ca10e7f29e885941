/** What Node, Bun and Deno bring to a run of the matrix. */
import { Buffer } from "node:buffer";
import { Agent } from "node:http";
import { EventEmitter } from "node:events";
import { PassThrough, Readable } from "node:stream";
import { inspect } from "node:util";
import FormDataPackage from "form-data";
import type { Ground } from "./run.ts";

export function nodeGround(servers: Ground["servers"]): Ground {
  return {
    servers,
    inspect: (value) => inspect(value, { depth: 10 }),
    node: { Readable, PassThrough, EventEmitter, Buffer, Agent, FormDataPackage },
  };
}
