import { RemintError } from "../base/errors.ts";
import type { TokenInput } from "../grants/token-exchange.ts";

const LONGEST_SUBJECT_TOKEN = 10_000;

/**
 * A subject token that Salesforce would not take is refused before it is sent.
 *
 * @throws {TypeError} When it is given, and too long.
 */
export function shortEnough(input: TokenInput): TokenInput {
  const message = `a subject token must not be longer than ${LONGEST_SUBJECT_TOKEN} characters for Salesforce`;
  if (typeof input === "function") {
    return async (context) => {
      const token = await input(context);
      if (typeof token === "string" && token.length > LONGEST_SUBJECT_TOKEN)
        throw new RemintError("ERR_GRANT", message);
      return token;
    };
  }
  if (typeof input === "string" && input.length > LONGEST_SUBJECT_TOKEN) {
    throw new TypeError(`"subjectToken" is too long: ${message}`);
  }
  return input;
}
