/** A tRPC server: one procedure for everybody, and one that checks the token itself. */
import { initTRPC, TRPCError } from "@trpc/server";

const trpc = initTRPC.context<{ readonly isLive: boolean }>().create();

export const appRouter = trpc.router({
  version: trpc.procedure.query(() => "1.0"),
  orders: trpc.procedure.query(({ ctx }) => {
    if (!ctx.isLive) throw new TRPCError({ code: "UNAUTHORIZED" });
    return ["apples"];
  }),
});

export type AppRouter = typeof appRouter;
