/**
 * SimRandom: one seed, one stream of chance per concern, so that a change in one leaves the others
 * as they were.
 */
import type { Random } from "../../src/ports/random.ts";

export class SimRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(seed: number, concern: string) {
    let hash = Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635;
    for (let index = 0; index < concern.length; index++) {
      hash = Math.imul(hash ^ concern.charCodeAt(index), 0x01000193);
    }
    this.#a = hash | 0;
    this.#b = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) | 0;
    this.#c = seed | 0;
    for (let round = 0; round < 12; round++) this.#next();
  }

  /** sfc32: small, fast, passes PractRand. */
  #next(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  fraction(): number {
    return this.#next() / 4294967296;
  }

  /** In [0, bound). */
  below(bound: number): number {
    return Math.floor(this.fraction() * bound);
  }

  /** What cannot happen draws nothing: how often it is asked for then changes nothing. */
  chance(probability: number): boolean {
    return probability > 0 && this.fraction() < probability;
  }

  pick<Value>(values: readonly Value[]): Value {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error("Cannot pick from nothing");
    return value;
  }

  id<Id extends string>(): Id {
    let digits = "";
    for (let part = 0; part < 4; part++) digits += this.#next().toString(16).padStart(8, "0");
    return digits as Id;
  }
}
