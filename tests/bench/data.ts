/** Trees of files made from a seed: the same names, sizes and bytes in each run. */
import { createCipheriv } from "node:crypto";
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { SimRandom } from "../sim/sim-random.ts";

const BLOCK_BYTES = 2 ** 20;
/** So many standard deviations above the median no file is longer. */
const DEVIATIONS_MAX = 5;

export interface TreeOptions {
  readonly seed: number;
  readonly files: number;
  readonly directories: number;
  /** Of the logarithms' normal distribution: e to the power of their mean. */
  readonly medianBytes: number;
  /** 0 makes all files of one size. */
  readonly sigma: number;
}

/** Bytes that nothing can make smaller. */
export class SeededBytes {
  readonly #cipher: ReturnType<typeof createCipheriv>;
  readonly #zeros = Buffer.alloc(BLOCK_BYTES);

  constructor(seed: number) {
    const key = Buffer.alloc(16);
    key.writeUInt32LE(seed);
    this.#cipher = createCipheriv("aes-128-ctr", key, Buffer.alloc(16));
  }

  /** @param count at most a MiB */
  take(count: number): Uint8Array {
    return this.#cipher.update(this.#zeros.subarray(0, count));
  }

  writeFile(path: string, size: number): void {
    const fd = openSync(path, "w");
    for (let left = size; left > 0; ) {
      left -= writeSync(fd, this.take(Math.min(left, BLOCK_BYTES)));
    }
    closeSync(fd);
  }
}

/** The path of one of `makeTree`'s files, from the root. */
export function pathOf(index: number, directories: number): string {
  return `directory-${index % directories}/file-${index}`;
}

export function makeTree(root: string, options: TreeOptions): void {
  const { files, directories, medianBytes, sigma } = options;
  const random = new SimRandom(options.seed, "sizes");
  const bytes = new SeededBytes(options.seed);
  for (let index = 0; index < directories; index += 1) {
    mkdirSync(join(root, `directory-${index}`), { recursive: true });
  }
  for (let index = 0; index < files; index += 1) {
    const deviations = Math.min(DEVIATIONS_MAX, normal(random));
    const size = Math.round(medianBytes * Math.exp(sigma * deviations));
    bytes.writeFile(join(root, pathOf(index, directories)), size);
  }
}

/** Box and Muller's. */
function normal(random: SimRandom): number {
  const radius = Math.sqrt(-2 * Math.log(1 - random.fraction()));
  return radius * Math.cos(2 * Math.PI * random.fraction());
}
