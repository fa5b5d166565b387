/** Chance from the operating system. Rules: N1. */
import { randomBytes } from "node:crypto";
import type { Random } from "../../ports/random.ts";

/** Lasts until the year 10889. */
const TIME_BYTES = 6;

export const systemRandom: Random = {
  id<Id extends string>() {
    const id = randomBytes(16);
    // A clock before 1970 or past the last year gives some other prefix, which is as good.
    id.writeUIntBE(Math.abs(Date.now()) % 2 ** (8 * TIME_BYTES), 0, TIME_BYTES);
    return id.toString("hex") as Id;
  },
  fraction: () => Math.random(),
};

/** 256 random bits as 64 hex digits, for secrets. */
export function systemSecret(): string {
  return randomBytes(32).toString("hex");
}
