/** `GET /invoices`: what the API says. When there is no token, `../error.ts` answers. */
import { defineEventHandler } from "h3";
import { billing } from "../utils/billing.ts";

export default defineEventHandler(() => billing("/invoices"));
