// The types of `remint/testing`.
import { createTokenCache } from "remint";
import { fakeGrant, manualClock, startApi, startAuthServer } from "remint/testing";
import type { Clock, Grant } from "remint";
import type { Api, AuthServer, FakeGrant, ManualClock } from "remint/testing";
import { known, same } from "./expect.ts";

const grant = fakeGrant({ expiresIn: null, response: { scope: "a" } });
same<typeof grant, FakeGrant>(true);
same<typeof grant.mints, number>(true);
export const asGrant: Grant = grant;
const clock = manualClock();
same<typeof clock, ManualClock>(true);
export const asClock: Clock = clock;
createTokenCache({ grant, clock, origins: ["https://api.example"] });

export async function servers(): Promise<void> {
  await using auth = await startAuthServer();
  await using api = await startApi({ accepts: auth });
  known<typeof auth>(true);
  same<typeof auth, AuthServer>(true);
  same<typeof api, Api>(true);
  same<typeof api.unauthorized, number>(true);
  await startApi({ accepts: (token) => (same<typeof token, string>(true), true) });
}
