/**
 * Real frameworks, in production mode, whose routes let an error of ours escape: two requests through each client, for each
 * way in which no token can be had. The servers are in `servers.mjs`, the failing calls in `calls.mjs`.
 */
import { describeFramework, type Framework } from "./contract.ts";

const STATUS_TEXTS: Readonly<Record<number, string>> = { 401: "Unauthorized", 503: "Service Unavailable" };

/** Fastify shows message and code of every error. */
const fastify: Partial<Framework> = {
  body: ({ status, code, message }) => ({ statusCode: status, code, error: STATUS_TEXTS[status], message }),
};

const FRAMEWORKS: readonly Framework[] = [
  { name: "Express 4", server: "express-4", answers: "status and headers", logsStack: true },
  { name: "Express 5", server: "express-5", answers: "status and headers", logsStack: true },
  { name: "Koa 2", server: "koa-2", answers: "status and headers", logsStack: true },
  { name: "Koa 3", server: "koa-3", answers: "status and headers", logsStack: true },
  { name: "Fastify 4", server: "fastify-4", answers: "status and headers", logsStack: true, ...fastify },
  { name: "Fastify 5", server: "fastify-5", answers: "status and headers", logsStack: true, ...fastify },
  { name: "Hono 4", server: "hono-4", answers: "status and headers" },
  { name: "h3 1", server: "h3-1", answers: "status", logsStack: true },
  { name: "h3 2", server: "h3-2", answers: "status and headers", logsStack: true },
  {
    name: "Nest 10",
    server: "nest-10",
    answers: "status",
    logsStack: true,
    // Nest 10 shows the message of every error that has a `statusCode`.
    body: ({ status, message }) => ({ statusCode: status, message }),
  },
  { name: "Nest 11", server: "nest-11", answers: "status", logsStack: true },
  { name: "Nest 12", server: "nest-12", answers: "status", logsStack: true },
  {
    name: "hapi 21, with h.response().code(error.status)",
    server: "hapi-21",
    answers: "status",
    hasUncaught: true,
  },
  {
    name: "node:http, with response.writeHead(error.status, error.headers)",
    server: "http",
    answers: "status and headers",
  },
];

for (const framework of FRAMEWORKS) describeFramework(framework);
