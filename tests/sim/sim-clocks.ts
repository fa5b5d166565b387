/**
 * The same life with other clocks (I10): all laws hold in it too, and it ends with the same tree.
 *
 * Clocks that are apart make other work: a time from another device looks young here and is read
 * once more (A2), two times are equal and agreed upon, or not. So it all takes a little longer, and
 * of two acts within a few milliseconds another one is first in the log, which wins (O8). Where the
 * tree is another one already when disks are a little slower or faster, no clock decided it.
 */
import { drawSkews } from "./sim-options.ts";
import { type SimOutcome, type SimRequest, simulate } from "./sim-world.ts";

/** Other paces of the disks: only a race ends in another way. */
const SLOWNESSES = [0.5, 0.7, 0.9, 1.1, 1.3, 1.5, 2, 3];

/**
 * @param outcome of `request`
 * @returns what is found; undefined where no clock matters.
 */
export async function findClockThatMatters(
  request: SimRequest,
  outcome: Pick<SimOutcome, "tree" | "swarm">,
): Promise<string | undefined> {
  const skewsMs = drawSkews(outcome.swarm);
  const skewed = await simulate({ ...request, skewsMs });
  if (skewed.failure !== undefined) return `I10: with other clocks ${skewed.failure}`;
  if (Bun.deepEquals(skewed.tree, outcome.tree)) return undefined;
  const isApart = new Set(skewsMs).size > 1;
  if (isApart && (await isRace(request, outcome))) return undefined;
  return "I10: with other clocks the tree is another one";
}

async function isRace(request: SimRequest, { tree }: Pick<SimOutcome, "tree">): Promise<boolean> {
  for (const slowness of SLOWNESSES) {
    const other = await simulate({ ...request, slowness });
    if (!Bun.deepEquals(other.tree, tree)) return true;
  }
  return false;
}
