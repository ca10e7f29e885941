/** h3 2. In Nitro 3 it is the file `server/routes/api/[...path].ts` with `defineHandler((event) => proxy(event.req))`. */
import { H3 } from "h3";
import { proxy } from "./proxy.ts";

export const app = new H3();
app.all("/api/**", (event) => proxy(event.req));
