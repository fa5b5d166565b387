/**
 * Agenda: when which work is due. Rules: Y1, Y2, Y5.
 *
 * A turn of the loop begins by taking what is due off the agenda: no time that has passed stays on
 * it, and a turn that enters nothing is followed by a sleep. What is entered while a turn works is
 * never put off by what the turn enters at its end, since the earlier time counts.
 */
/** Which work waits for its time. */
export type Reason =
  /** A look whether the root is there, and whether this device's own rules are others. */
  | "root"
  | "full scan"
  /** Another look at paths that a scan asked for. */
  | "look"
  /** Another look at paths that did not look as planned. */
  | "unexpected"
  | "server"
  | "plan"
  | "quarantine"
  | "report";

export class Agenda {
  readonly #times = new Map<Reason, number>();

  /**
   * Enters work; where it is entered already, the earlier time counts.
   *
   * @param atMs Clock.monotonic
   */
  at(reason: Reason, atMs: number): void {
    const known = this.#times.get(reason);
    if (known === undefined || atMs < known) this.#times.set(reason, atMs);
  }

  /** Whatever was entered for it before; undefined: nothing of the kind is due any more. */
  enter(reason: Reason, atMs: number | undefined): void {
    this.done(reason);
    if (atMs !== undefined) this.at(reason, atMs);
  }

  /** Nothing of the kind is due any more. */
  done(reason: Reason): void {
    this.#times.delete(reason);
  }

  /** Takes off what is due by now. */
  takeDue(nowMs: number): ReadonlySet<Reason> {
    const due = new Set<Reason>();
    for (const [reason, atMs] of this.#times) if (atMs <= nowMs) due.add(reason);
    for (const reason of due) this.#times.delete(reason);
    return due;
  }

  /** When something is due next; Infinity where nothing is entered. */
  get nextMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const atMs of this.#times.values()) nextMs = Math.min(nextMs, atMs);
    return nextMs;
  }
}
