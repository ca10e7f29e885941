/**
 * Orders, which another service keeps.
 *
 * @module
 */
import { HttpService } from "@nestjs/axios";
import {
  BadGatewayException,
  Controller,
  Get,
  Inject,
  Injectable,
  Module,
  NotFoundException,
  Param,
} from "@nestjs/common";
import { isAxiosError } from "axios";
import { isRemintError } from "remint";
import { firstValueFrom } from "rxjs";
import { OrdersApiModule } from "./orders-api.module.ts";

@Injectable()
class OrdersService {
  readonly #http: HttpService;

  constructor(@Inject(HttpService) http: HttpService) {
    this.#http = http;
  }

  /** Errors of remint pass: the filter answers them. */
  async find(id: string): Promise<object> {
    try {
      return (await firstValueFrom(this.#http.get<object>(`orders/${encodeURIComponent(id)}`))).data;
    } catch (error) {
      if (isRemintError(error) || !isAxiosError(error)) throw error;
      if (error.response?.status === 404) throw new NotFoundException();
      throw new BadGatewayException(undefined, { cause: error });
    }
  }
}

@Controller("orders")
class OrdersController {
  readonly #orders: OrdersService;

  constructor(@Inject(OrdersService) orders: OrdersService) {
    this.#orders = orders;
  }

  @Get(":id")
  find(@Param("id") id: string): Promise<object> {
    return this.#orders.find(id);
  }
}

@Module({ imports: [OrdersApiModule], controllers: [OrdersController], providers: [OrdersService] })
export class OrdersModule {}
