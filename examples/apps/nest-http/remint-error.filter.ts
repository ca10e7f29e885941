/**
 * What is answered when no token can be had.
 *
 * @module
 */
import { type ArgumentsHost, Catch, type ExceptionFilter, Logger } from "@nestjs/common";
import type { Response } from "express";
import { RemintError } from "remint";

/**
 * Answers 503. `Retry-After` is what the authorization server has said; where it has said nothing, this server asks for a few
 * seconds.
 */
@Catch(RemintError)
export class RemintErrorFilter implements ExceptionFilter<RemintError> {
  readonly #logger = new Logger(RemintErrorFilter.name);

  catch(error: RemintError, host: ArgumentsHost): void {
    const { status, headers, message, retryable, hint } = error;
    this.#logger.error(`${message}: ${hint}`);
    const retryAfter = retryable ? "5" : "30";
    const response = host.switchToHttp().getResponse<Response>();
    response.status(status).set({ "retry-after": retryAfter, ...headers });
    response.json({ statusCode: status, message });
  }
}
