/**
 * Seeds that once found a bug, each checked to find it again where its fix is taken out. A change
 * of the engine may change what a seed does: then its story belongs in a test of its own, or goes.
 */
import { expect, test } from "bun:test";
import { simulate } from "./sim-world.ts";

const STORIES: readonly (readonly [seed: number, story: string])[] = [
  [10, "a directory is only removed when the tree knows nothing below it [D4, I11]"],
  [428, "a server that is restored again while it is joined anew does not stop that [S5, I1]"],
  [449, "metadata of one hard link does not show through the others [D2, I6]"],
];
/** Many times what a seed takes where nothing else runs. */
const TIMEOUT_MS = 120_000;

for (const [seed, story] of STORIES) {
  test(
    `seed ${seed}: ${story}`,
    async () => {
      const { failure } = await simulate({ seed, life: "long" });
      expect(failure).toBeUndefined();
    },
    TIMEOUT_MS,
  );
}
