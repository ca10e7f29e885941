import { gql } from "@apollo/client";
import { describe, expect } from "vitest";
import { createClient } from "../apollo.ts";
import { graphqlApi, ORDER } from "./graphql-api.ts";
import { answeredBy, type Call, carriesTokens, leavesRefusalsAlone, type Stage, waitsAsLongAsAsked } from "./stage.ts";

const query = gql(ORDER);

function answering({ auth, api, tokens }: Stage, source = () => tokens): Call {
  api.respondAlways(answeredBy(auth, graphqlApi(true)));
  const client = createClient(source, api.origin);
  return async (number) => {
    const { data } = await client.query({ query, variables: { number } });
    expect(data).toEqual({ order: `apples ${number}` });
  };
}

describe("Apollo client", () => {
  carriesTokens(answering);
  leavesRefusalsAlone(answering);
  // The link's own pauses are 0.6 and 1.2 seconds.
  waitsAsLongAsAsked(answering);
});
