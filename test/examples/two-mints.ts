/**
 * Loaded before the demo: every token request is sent twice, as by a client that does not share them.
 */
const { fetch } = globalThis;

globalThis.fetch = async (input, init) => {
  if (new Request(input).url.endsWith("/token")) await fetch(input, init).then((response) => response.text());
  return fetch(input, init);
};
