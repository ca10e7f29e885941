/**
 * Reads, and changes, the head of an answer that a node server sends, whoever sends it.
 *
 * @module
 */
import type { ServerResponse } from "node:http";

type Value = string | number | readonly string[] | undefined;

/** Calls a function with the status and the headers before they are sent. What it changes in the headers is sent. */
export function onHead(response: ServerResponse, look: (status: number, headers: Headers) => void): void {
  const writeHead = response.writeHead.bind(response) as (...values: unknown[]) => ServerResponse;
  response.writeHead = (status: number, ...values: unknown[]) => {
    const headers = new Headers();
    for (const [name, value] of Object.entries(response.getHeaders())) append(headers, name, value);
    const given = values.at(-1);
    // A list of names and values in turn, or an object.
    if (Array.isArray(given)) {
      for (let at = 0; at < given.length; at += 2) append(headers, String(given[at]), given[at + 1] as Value);
    } else if (typeof given === "object" && given !== null) {
      for (const [name, value] of Object.entries(given)) append(headers, name, value as Value);
    }
    look(status, headers);
    for (const name of response.getHeaderNames()) response.removeHeader(name);
    const cookies = headers.getSetCookie();
    return writeHead(status, { ...Object.fromEntries(headers), ...(cookies.length > 0 && { "set-cookie": cookies }) });
  };
}

function append(headers: Headers, name: string, value: Value): void {
  for (const each of [value].flat()) {
    if (each !== undefined) headers.append(name, String(each));
  }
}
