/**
 * Starts the server. Nest ends it at SIGTERM, when the requests are answered.
 *
 * @module
 */
import { NestFactory } from "@nestjs/core";
import { OrdersModule } from "./orders.module.ts";
import { RemintErrorFilter } from "./remint-error.filter.ts";

const app = await NestFactory.create(OrdersModule);
app.useGlobalFilters(new RemintErrorFilter());
app.enableShutdownHooks();
await app.listen(Number(process.env["PORT"] ?? 3000));
console.log(`Listening on ${await app.getUrl()}`);
