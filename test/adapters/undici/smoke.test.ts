import { createTokenCache } from "remint";
import { createAuthInterceptor } from "remint/undici";
import { startApi, fakeGrant } from "remint/testing";
import { test, expect } from "vitest";
import * as u7 from "undici";
import * as u6 from "undici-6";
for (const [name, u] of [["7", u7], ["6", u6 as unknown as typeof u7]] as const) {
  for (const how of ["request", "fetch", "node"]) {
    test(`${name} ${how}`, async () => {
      let rejected = "";
      const api = await startApi({ accepts: (t) => t !== rejected });
      const tokens = createTokenCache({ grant: fakeGrant(), origins: [api.origin] });
      const dispatcher = new u.Agent().compose(createAuthInterceptor(tokens));
      const call = async (init: any) => {
        if (how === "request") { const r = await u.request(api.origin + "/x", { dispatcher, ...init }); return [r.statusCode, await r.body.text()]; }
        const f = (how === "fetch" ? u.fetch : fetch) as any;
        const r = await f(api.origin + "/x", { dispatcher, ...init }); return [r.status, await r.text()];
      };
      expect(await call({})).toEqual([200, '{"ok":true,"path":"/x"}']);
      rejected = "fake-1";
      expect(await call({ method: "POST", body: "hallo", headers: { "content-type": "text/plain" } })).toEqual([200, '{"ok":true,"path":"/x"}']);
      rejected = "fake-2";
      expect(await call({ method: "HEAD" })).toEqual([200, ""]);
      expect(api.requests.map((r) => [r.token, r.text])).toEqual([["fake-1", ""], ["fake-1", "hallo"], ["fake-2", "hallo"], ["fake-2", ""], ["fake-3", ""]]);
      await dispatcher.close(); await api.close();
    });
  }
}
