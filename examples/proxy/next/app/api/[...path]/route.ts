/** A route handler of Next. Its own `OPTIONS` stays: it allows no other site anything. */
import { proxy } from "../../../../proxy.ts";

export { proxy as DELETE, proxy as GET, proxy as HEAD, proxy as PATCH, proxy as POST, proxy as PUT };
