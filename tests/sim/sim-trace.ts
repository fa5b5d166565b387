/**
 * What happened in one run: a hash always, the lines only for a replay, and how often each kind of
 * thing happened.
 */
export class SimTrace {
  readonly lines: string[] = [];
  readonly counters = new Map<string, number>();
  readonly #keep: boolean;
  #a = 0x811c9dc5;
  #b = 0x2545f491;

  constructor(keep: boolean) {
    this.#keep = keep;
  }

  add(line: string): void {
    for (let index = 0; index < line.length; index++) {
      const code = line.charCodeAt(index);
      this.#a = Math.imul(this.#a ^ code, 0x01000193);
      this.#b = Math.imul(this.#b ^ code, 0x5bd1e995) ^ (this.#b >>> 13);
    }
    if (this.#keep) this.lines.push(line);
  }

  count(what: string, by = 1): void {
    this.counters.set(what, (this.counters.get(what) ?? 0) + by);
  }

  hash(): string {
    return [this.#a, this.#b].map((word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
  }
}
