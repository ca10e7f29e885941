/** An API that rejects every new request once, for the mode `rejected` of the contract. */
import type { Api, ApiRequest } from "remint/testing";

type Script = NonNullable<Parameters<Api["respondAlways"]>[0]>;

/**
 * Makes an API answer 401 to the first send of each request that carries one of our tokens, and accept the resend, which
 * carries another token. What the API records of the rejected sends is left out, so that a case sees what it would see
 * of an API that accepts the first send.
 */
export function rejectingApi(api: Api, isOurs: (token: string) => boolean): Api {
  const rejected = new Set<ApiRequest>();
  /** The tokens of the rejected sends that were not sent again yet, by method and URL. */
  const owed = new Map<string, string[]>();
  const queue: Script[] = [];
  let standing: Script | undefined;

  api.respondAlways((request) => {
    const { method, url, token } = request;
    if (token !== undefined && isOurs(token)) {
      const key = `${method} ${url}`;
      const waiting = owed.get(key) ?? [];
      const index = waiting.findIndex((each) => each !== token);
      if (index === -1) {
        rejected.add(request);
        owed.set(key, [...waiting, token]);
        return { status: 401, headers: { "www-authenticate": 'Bearer error="invalid_token"' }, body: { ok: false } };
      }
      waiting.splice(index, 1);
    }
    const script = queue.shift() ?? standing;
    return typeof script === "function" ? script(request) : script;
  });

  const accepted = (): ApiRequest[] => api.requests.filter((request) => !rejected.has(request));
  const changed: Partial<Api> = {
    get requests() {
      return accepted();
    },
    get unauthorized() {
      return api.unauthorized - rejected.size;
    },
    respond: (...scripts) => void queue.push(...scripts),
    respondAlways: (script) => void (standing = script),
    async waitFor(total) {
      while (accepted().length < total) await api.waitFor(api.requests.length + 1);
    },
  };
  return new Proxy(api, {
    get(target, name) {
      if (name in changed) return changed[name as keyof Api];
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? (member.bind(target) as unknown) : member;
    },
  });
}
