/**
 * The contract of every adapter, whatever client it translates: the rules of the request policy (Q), and those of the
 * cache (C) that only a real request shows. A new client is one adapter, one entry in clients.ts, and a run of this
 * list.
 */
import { bodyCases } from "./contract-bodies.ts";
import { coldCases } from "./contract-cold.ts";
import { dpopCases } from "./contract-dpop.ts";
import { errorCases } from "./contract-errors.ts";
import { judgementCases } from "./contract-judgement.ts";
import { originCases } from "./contract-origins.ts";
import { overrideCases } from "./contract-overrides.ts";
import { renewalCases } from "./contract-renewal.ts";
import { requestObjectCases } from "./contract-request-objects.ts";
import { safetyCases } from "./contract-safety.ts";
import { sourceCases } from "./contract-sources.ts";
import { stormCases } from "./contract-storm.ts";
import { streamCases } from "./contract-streams.ts";
import { untouchedCases } from "./contract-untouched.ts";
import type { Case } from "./world.ts";

export const contract: readonly Case[] = [
  ...coldCases,
  ...renewalCases,
  ...errorCases,
  ...judgementCases,
  ...stormCases,
  ...bodyCases,
  ...requestObjectCases,
  ...streamCases,
  ...originCases,
  ...sourceCases,
  ...overrideCases,
  ...untouchedCases,
  ...safetyCases,
  ...dpopCases,
];
