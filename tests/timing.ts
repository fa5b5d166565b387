/**
 * Promises about time, kept on a machine that does other things too: what is slow by chance is
 * quick at another try, what became slow never is.
 */

/** @returns the first time that is below `enoughMs`, or the shortest of that many tries. */
export async function bestOf(
  tries: number,
  enoughMs: number,
  measure: () => Promise<number>,
): Promise<number> {
  let best = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < tries && best >= enoughMs; attempt += 1) {
    best = Math.min(best, await measure());
  }
  return best;
}

/** @returns how long it takes, in milliseconds. */
export async function timeOf(act: () => unknown): Promise<number> {
  const startMs = performance.now();
  await act();
  return performance.now() - startMs;
}

/** @returns the upper one of the two in the middle. */
export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((left, right) => left - right);
  return sorted[sorted.length >> 1] ?? Number.NaN;
}
