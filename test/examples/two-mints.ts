/** Loaded before the demo to make its numbers wrong: every token request is sent twice. */
const { fetch } = globalThis;

globalThis.fetch = async (input, init) => {
  if (new Request(input).url.endsWith("/token")) await fetch(input, init).then((response) => response.text());
  return fetch(input, init);
};
