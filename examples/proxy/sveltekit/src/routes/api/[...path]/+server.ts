/** An endpoint of SvelteKit for every method. */
import { proxy } from "../../../../../proxy.ts";
import type { RequestHandler } from "@sveltejs/kit";

export const fallback: RequestHandler = ({ request }) => proxy(request);
