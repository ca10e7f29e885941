// A route handler that lets the error escape.
import { createCalls } from "../../../../../calls.mjs";

const call = createCalls(process.env.TOKEN_SERVER);

export async function GET(_request, { params }) {
  const { client, failure } = await params;
  return Response.json(await call(client, failure));
}
