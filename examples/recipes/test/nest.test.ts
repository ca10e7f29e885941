import { HttpService } from "@nestjs/axios";
import { Controller, Get, Global, Inject, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import axios from "axios";
import { firstValueFrom } from "rxjs";
import { describe, expect, onTestFinished, test } from "vitest";
import { AuthHttpModule, RemintErrorFilter, TOKENS } from "../nest.ts";
import { carriesTokens, type Stage, startStage } from "./stage.ts";

/** Starts an application with one route that asks the API, and returns the URL of the route. */
async function startApp({ api, tokens }: Stage, filters = [new RemintErrorFilter()]): Promise<string> {
  @Global()
  @Module({ providers: [{ provide: TOKENS, useValue: tokens }], exports: [TOKENS] })
  class TokensModule {}

  @Controller("orders")
  class OrdersController {
    readonly #http: HttpService;
    constructor(@Inject(HttpService) http: HttpService) {
      this.#http = http;
    }
    @Get()
    async orders(): Promise<unknown> {
      return (await firstValueFrom(this.#http.get<unknown>(`${api.origin}/orders`))).data;
    }
  }

  @Module({ imports: [TokensModule, AuthHttpModule], controllers: [OrdersController] })
  class AppModule {}

  const app = await NestFactory.create(AppModule, { logger: false });
  app.useGlobalFilters(...filters);
  await app.listen(0, "127.0.0.1");
  onTestFinished(() => app.close());
  return `${await app.getUrl()}/orders`;
}

describe("Nest's HttpService", () => {
  carriesTokens(async (stage) => {
    const url = await startApp(stage);
    return async () => expect(await (await fetch(url)).json()).toEqual({ ok: true, path: "/orders" });
  });

  test.each([
    ["with the filter, a browser gets 503 and the Retry-After of the token endpoint", [new RemintErrorFilter()], "7"],
    ["without it, a browser gets 503 and no Retry-After", [], null],
  ])("%s", async (_, filters, retryAfter) => {
    const stage = await startStage({ mintRetries: 0 });
    stage.auth.respond({ status: 503, headers: { "retry-after": "7" } });
    const response = await fetch(await startApp(stage, filters));
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, retryAfter]);
    expect(await response.text()).not.toContain(stage.auth.origin);
  });

  test("requests of axios itself get no token", async () => {
    const stage = await startStage();
    await startApp(stage);
    expect((await axios.get(stage.api.origin, { validateStatus: null })).status).toBe(401);
    expect(stage.auth.mints).toBe(0);
  });
});
