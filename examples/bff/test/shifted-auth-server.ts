/** An authorization server in a process whose clock is wrong. Told by the first message, it says where it is. */
import { AuthServer } from "../auth-server.ts";

process.once("message", ({ shift, origin, clientSecret }: { shift: number; origin: string; clientSecret: string }) => {
  const { now } = Date;
  Date.now = () => now() + shift;
  void AuthServer.start({ origin, clientSecret }).then((auth) => {
    process.send?.({ issuer: auth.issuer, jwks: auth.jwks });
    process.once("disconnect", () => process.exit(0));
  });
});
