/** A GraphQL server: one field, which is answered 200 with an error `UNAUTHENTICATED` when the token is not accepted. */
import { buildSchema, GraphQLError } from "graphql";
import { createHandler } from "graphql-http/lib/use/fetch";

const schema = buildSchema("type Query { order(number: Int): String }");

/** Answers a request as one whose token is accepted or not. */
export const graphqlApi = (isLive: boolean): ((request: Request) => Promise<Response>) =>
  createHandler({
    schema,
    rootValue: {
      order({ number }: { number: number }) {
        if (!isLive) throw new GraphQLError("no", { extensions: { code: "UNAUTHENTICATED" } });
        return `apples ${number}`;
      },
    },
  });

/** The query that the tests send. */
export const ORDER = "query Order($number: Int) { order(number: $number) }";
