/**
 * Register: one aspect of one thing (a name, a directory, bytes, a mode, a time), and which of the
 * values that users gave it may be seen at the end.
 *
 * A user's act replaces what stood on that user's own disk. Acts that it could not have seen there
 * stay: each of them and the new one may win (R6), all others may not come back. An act was seen
 * for certain where the value that stood there had no other origin: it was given once, by that act,
 * and not what the register began with.
 */
export class Register<Value> {
  #initial: Value;
  /** The last act of each device, unless somebody replaced it knowingly. */
  readonly #acts = new Map<string, Value>();
  /** How often each value was given. */
  readonly #given = new Map<Value, number>();
  /** What each value was given in place of. */
  readonly #former = new Map<Value, Value>();
  /** Given up together with the thing, which may live on for another's sake (R7). */
  readonly #past = new Set<Value>();
  #isLoose = false;

  constructor(initial: Value) {
    this.#initial = initial;
  }

  /** A user of the device gave it the value `to` where `from` stood. */
  set(device: string, from: Value, to: Value): void {
    this.#replace(from);
    this.#acts.set(device, to);
    this.#former.set(to, from);
    this.#given.set(to, (this.#given.get(to) ?? 0) + 1);
  }

  /**
   * A user of the device took the thing away while `from` stood there. What others gave it in place
   * of just that is still owed; what they gave it in place of something older has lost by now (R6).
   */
  giveUp(device: string, from: Value): void {
    this.#past.add(from);
    for (const [by, value] of this.#acts) {
      if (by !== device && this.#cameAfter(value, from)) continue;
      this.#past.add(value);
      this.#acts.delete(by);
    }
    // Nobody cares any more which of the values that it had meanwhile it lives on with.
    if (this.#acts.size === 0 && this.#given.size > 0) this.#isLoose = true;
  }

  #cameAfter(value: Value, earlier: Value): boolean {
    const seen = new Set([value]);
    for (let at = this.#former.get(value); at !== undefined && !seen.has(at); ) {
      if (at === earlier) return true;
      seen.add(at);
      at = this.#former.get(at);
    }
    return false;
  }

  /** It may turn up, though nobody asked for it to be here. */
  allow(value: Value): void {
    this.#past.add(value);
  }

  #replace(from: Value): void {
    // Undefined is whatever has no name, and need not be what somebody else gave.
    if (from === undefined || from === this.#initial || this.#given.get(from) !== 1) return;
    for (const [device, value] of this.#acts) if (value === from) this.#acts.delete(device);
  }

  /** Whoever merges cannot know whose value is the newer one: any is right until all agree. */
  loosen(): void {
    this.#isLoose = true;
  }

  /** What it began with, and what it was given: somebody may still have any of it. */
  values(): readonly Value[] {
    return [this.#initial, ...this.#given.keys()];
  }

  /** All devices agree on this value: it is what every later act knows. */
  agree(value: Value): void {
    this.#initial = value;
    this.#acts.clear();
    this.#given.clear();
    this.#former.clear();
    this.#past.clear();
    this.#isLoose = false;
  }

  /** True where an act is left that nobody has replaced knowing it. */
  isOwed(weak: ReadonlySet<string>): boolean {
    return [...this.#acts.keys()].some((device) => !weak.has(device));
  }

  /**
   * @param weak devices whose own acts may have been lost
   * @returns the values of which one must be there; undefined where any may
   */
  allowed(weak: ReadonlySet<string>): readonly Value[] | undefined {
    if (this.#isLoose || [...this.#acts.keys()].some((device) => weak.has(device)))
      return undefined;
    const owed = this.#acts.size > 0 ? [...this.#acts.values()] : [this.#initial];
    return [...owed, ...this.#past];
  }
}
