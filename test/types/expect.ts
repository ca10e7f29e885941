/** Is `true` if two types are the same; `any` equals only `any`. */
// oxlint-disable-next-line typescript/no-unnecessary-type-parameters -- the comparison needs it
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Compiles only if both types are the same: `same<Actual, Expected>(true)`. */
export function same<A, B>(_proof: Equal<A, B>): void {}

/** Compiles only if the type is not `any`: `known<Actual>(true)`. */
export function known<A>(_proof: Equal<A, unknown> extends true ? false : 0 extends 1 & A ? false : true): void {}

/** A value with the type that `process.env` gives. */
export declare const fromEnvironment: string | undefined;
