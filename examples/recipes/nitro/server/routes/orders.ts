import { defineEventHandler } from "h3";
import { ordersApi } from "../orders-api.ts";

export default defineEventHandler(() => ordersApi<unknown>("/orders"));
