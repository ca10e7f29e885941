/** The Node column: every client that is installed here. */
import { rows } from "./rows.ts";
import type { TestClient } from "./clients.ts";

const loaded = await Promise.all(rows.filter(({ installed }) => !installed).map(({ load }) => load()));
export const clients: readonly TestClient[] = loaded.filter(
  (client): client is TestClient => typeof client !== "string",
);
