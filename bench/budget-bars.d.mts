export interface Budget {
  readonly what: string;
  readonly measured?: { readonly median: number };
  readonly value?: number;
  readonly limit: number;
  readonly unit: string;
  readonly digits?: number;
}
export interface Bench {
  readonly title: string;
  readonly budgets: readonly Budget[];
}
export function isMet(budget: Budget): boolean;
export function drawBudgets(benches: readonly Bench[], setting: string): string;
