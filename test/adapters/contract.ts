/**
 * The contract of every adapter, whatever client it translates: the rules of the request policy (Q), and those of the
 * cache (C) that only a real request shows. A new client is one adapter, one entry in clients.ts, and a run of this
 * list.
 *
 * Every case is run in the modes of ../matrix/run.ts, unless it says why not (`warmOnly`). What becomes of bodies is in
 * body-matrix.ts, and what a user of the client alone would see in ../matrix/cases.ts.
 */
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
import { type Case, warmOnly } from "./world.ts";

export const contract: readonly Case[] = [
  ...warmOnly("the case is about an empty cache", coldCases),
  ...warmOnly("the case revokes tokens, and counts mints and sends", renewalCases),
  ...errorCases,
  ...judgementCases,
  ...warmOnly("the case counts mints", stormCases),
  ...requestObjectCases,
  ...warmOnly("the case has a server of its own, and lists its requests", streamCases),
  ...originCases,
  ...sourceCases,
  ...overrideCases,
  ...untouchedCases,
  ...safetyCases,
  ...warmOnly("the servers of the case reject tokens and proofs, and list them", dpopCases),
];
