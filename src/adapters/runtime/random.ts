/** Random numbers of the operating system. Rules: N1. */
import { randomBytes } from "node:crypto";
import type { Random } from "../../ports/random.ts";

export const systemRandom: Random = {
  id<Id extends string>() {
    return randomBytes(16).toString("hex") as Id;
  },
  fraction: () => Math.random(),
};
