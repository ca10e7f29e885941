/** The list of the matrix: what a user of a plain HTTP client sends and gets. */
import { answerCases } from "./cases-answers.ts";
import { axiosCases } from "./cases-axios.ts";
import { fetchCases } from "./cases-fetch.ts";
import { ofetchCases } from "./cases-ofetch.ts";
import { requestCases } from "./cases-requests.ts";
import { undiciCases } from "./cases-undici.ts";
import type { Case } from "./run.ts";

export const cases: readonly Case[] = [
  ...requestCases,
  ...answerCases,
  ...fetchCases,
  ...ofetchCases,
  ...axiosCases,
  ...undiciCases,
];
