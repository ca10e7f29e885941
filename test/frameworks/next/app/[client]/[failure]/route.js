// A route handler that answers what an error of ours says of itself.
import { isRemintError } from "remint";
import { createCalls } from "../../../../calls.mjs";

const call = createCalls(process.env.TOKEN_SERVER);

export async function GET(_request, { params }) {
  const { client, failure } = await params;
  try {
    return Response.json(await call(client, failure));
  } catch (error) {
    if (isRemintError(error)) return error.getResponse();
    throw error;
  }
}
