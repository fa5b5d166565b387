/**
 * Agenda: knows when which work is due. Rules: Y1, Y2, Y5.
 *
 * A turn of the loop begins by taking all due work off the agenda. So no time that has passed stays
 * on it, and a turn that enters nothing is followed by a sleep. Work that is entered during a turn
 * is never put off by the turn's end, because the earlier time counts.
 */
/** Work that waits for its time. */
export type Reason =
  /** Look whether the root is there, and whether this device's own rules have changed. */
  | "root"
  | "full scan"
  /** Look again at paths for which a scan asked. */
  | "look"
  /** Look again at paths that did not look as planned. */
  | "unexpected"
  | "server"
  | "plan"
  | "quarantine"
  | "report";

export class Agenda {
  readonly #times = new Map<Reason, number>();

  /**
   * Enters work. If it is entered already, the earlier time counts.
   *
   * @param atMs in milliseconds of Clock.monotonic
   */
  at(reason: Reason, atMs: number): void {
    const known = this.#times.get(reason);
    if (known === undefined || atMs < known) this.#times.set(reason, atMs);
  }

  /** Replaces an earlier entry; undefined only removes it. */
  enter(reason: Reason, atMs: number | undefined): void {
    this.done(reason);
    if (atMs !== undefined) this.at(reason, atMs);
  }

  done(reason: Reason): void {
    this.#times.delete(reason);
  }

  /** Takes off the work that is due by now. */
  takeDue(nowMs: number): ReadonlySet<Reason> {
    const due = new Set<Reason>();
    for (const [reason, atMs] of this.#times) if (atMs <= nowMs) due.add(reason);
    for (const reason of due) this.#times.delete(reason);
    return due;
  }

  /** When the next work is due; Infinity if none is entered. */
  get nextMs(): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const atMs of this.#times.values()) nextMs = Math.min(nextMs, atMs);
    return nextMs;
  }
}
