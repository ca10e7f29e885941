/**
 * Nest's HttpService. Import `HttpModule.register(...)`: the HttpService of `HttpModule` alone is the `axios` export itself, and its
 * interceptors get the requests of everybody in the process. Nest answers the status of an error of this package by itself; the
 * filter adds `Retry-After`.
 *
 * @module
 */
import { HttpModule, HttpService } from "@nestjs/axios";
import { type ArgumentsHost, Catch, type ExceptionFilter, Inject, Module } from "@nestjs/common";
import type { Response } from "express";
import { RemintError, type TokenCache } from "remint";
import { createAuthInterceptor } from "remint/axios";

/** The name under which the application provides its token cache. */
export const TOKENS = Symbol("tokens");

/** Imported, in place of HttpModule, by every module that asks the API. */
@Module({ imports: [HttpModule.register({})], exports: [HttpModule] })
export class AuthHttpModule {
  constructor(@Inject(HttpService) http: HttpService, @Inject(TOKENS) tokens: TokenCache) {
    http.axiosRef.interceptors.request.use(createAuthInterceptor(tokens));
  }
}

/** `app.useGlobalFilters(new RemintErrorFilter())` */
@Catch(RemintError)
export class RemintErrorFilter implements ExceptionFilter<RemintError> {
  catch({ status, headers, message }: RemintError, host: ArgumentsHost): void {
    host.switchToHttp().getResponse<Response>().status(status).set(headers).json({ statusCode: status, message });
  }
}
