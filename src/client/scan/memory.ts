/**
 * The scanner's memory between scans: paths to look at again, and nodes that disappeared. A restart
 * loses it, because a full scan finds all of it anew.
 * Rules: A2, A4, A5, A11, A12, A14, I20.
 */
import type { NodeId } from "../../core/identifier.ts";
import {
  BUSY_FILE_BYTES_MIN,
  BUSY_FILE_REST_MS_MIN,
  DELETE_SETTLE_MS,
  GUARD_WINDOW_MS,
  RACY_WINDOW_MS,
  RETRY_DELAY_MS_MAX,
  RETRY_DELAY_MS_MIN,
} from "../../core/limits.ts";

interface Revisit {
  /** Milliseconds of Clock.monotonic. */
  readonly at: number;
  /** Since when the stamp has been the same (Clock.monotonic). */
  readonly since: number;
  /** For an entry that is too new to be reported, its identity. */
  readonly stamp: string;
  /** Looks in a row that found the file changing. */
  readonly tries: number;
  /** True if the present content is not recorded yet, and will be. */
  readonly isUnread: boolean;
  /** True if the file was found changing. A large one is not read again before the time. */
  readonly isBusy: boolean;
  /**
   * Set if only looks from time to time can show a change. Their interval grows with the number of
   * such paths.
   */
  readonly isLater?: true;
}

/** The last read of a large file. */
interface LastRead {
  readonly atMs: number;
  readonly restMs: number;
  /** Reads in close succession, this one included. */
  readonly count: number;
}

/** A little later than the window itself, because clocks are coarse. */
const RACY_REVISIT_MS = RACY_WINDOW_MS + 100;
/**
 * A file that changes all the time is not waited for longer than this. It is a listed problem by
 * then.
 */
const UNREAD_TRIES_MAX = 5;
/**
 * Processor time of a look: 5 ms to cut and hash, and 5 ms to hash again and to send, were
 * measured.
 */
const READ_MS_PER_MIB = 10;
/** A file that changes all the time may take up a twentieth of one processor. */
const REST_RATIO = 20;
/** A person saves a few times in a row, and each save is looked at twice. */
const FREE_READS_MAX = 4;
/**
 * A look takes up to 0.5 ms. With this interval, looks take a few thousandths of a processor,
 * however many paths there are.
 */
const LATER_MS_PER_PATH = 200;
/** 0.5 s x 2^7 is beyond the longest delay. */
const DOUBLINGS_MAX = 7;

const SETTLED = { tries: 0, isUnread: false, isBusy: false } as const;

/** Paths to look at again, and when. */
export class Revisits {
  #next = new Map<string, Revisit>();
  /** Paths that are due or about to be looked at. They are consulted, then dropped. */
  #taken = new Map<string, Revisit>();
  readonly #reads = new Map<string, LastRead>();

  /** A scan begins that looks at these paths; undefined: at everything. */
  begin(paths: ReadonlySet<string> | undefined): void {
    this.#taken = paths === undefined ? this.#next : new Map();
    if (paths === undefined) this.#next = new Map();
    for (const path of paths ?? []) {
      const known = this.#next.get(path);
      if (known === undefined) continue;
      this.#taken.set(path, known);
      this.#next.delete(path);
    }
  }

  /** The scan has looked at everything. */
  finish(): void {
    this.#taken = new Map();
  }

  /**
   * The scan did not look at everything. Paths that it took and did not look at stay as they were.
   */
  restore(): void {
    for (const [path, known] of this.#taken) {
      if (!this.#next.has(path)) this.#next.set(path, known);
    }
    this.finish();
  }

  /** True if the stamp has been the same for so long that a write would show. */
  isRipe(path: string, stamp: string, now: number): boolean {
    const known = this.#get(path);
    return known?.stamp === stamp && now - known.since >= RACY_WINDOW_MS;
  }

  /** The file was read while its stamp was too young to be trusted. */
  racy(path: string, stamp: string, now: number): void {
    const known = this.#get(path);
    const since = known?.stamp === stamp ? known.since : now;
    this.#next.set(path, { at: since + RACY_REVISIT_MS, since, stamp, ...SETTLED });
  }

  /**
   * The entry of this identity may soon be gone or replaced.
   *
   * @param waitMs until the next look, and the most from the first look to the last.
   * @returns true as long as it has to be waited for.
   */
  waitsFor(
    path: string,
    identity: string,
    now: number,
    waitMs: { readonly next: number; readonly last: number },
  ): boolean {
    const known = this.#get(path);
    const since = known?.stamp === identity ? known.since : now;
    if (now >= since + waitMs.last) return false;
    const at = Math.min(now + waitMs.next, since + waitMs.last);
    const unread = { tries: 1, isUnread: true, isBusy: false };
    this.#next.set(path, { at, since, stamp: identity, ...unread });
    return true;
  }

  /**
   * The file changed while it was read.
   *
   * @returns how often in a row.
   */
  retry(path: string, now: number): number {
    const tries = (this.#get(path)?.tries ?? 0) + 1;
    const doubled = RETRY_DELAY_MS_MIN * 2 ** Math.min(tries - 1, DOUBLINGS_MAX);
    const at = now + Math.min(doubled, RETRY_DELAY_MS_MAX);
    const isUnread = tries <= UNREAD_TRIES_MAX;
    this.#next.set(path, { at, since: now, stamp: "", tries, isUnread, isBusy: true });
    return tries;
  }

  /** Nothing says that the path will ever be readable, so it is looked at from time to time. */
  later(path: string, now: number): void {
    const at = now + RETRY_DELAY_MS_MAX;
    this.#next.set(path, { at, since: now, stamp: "", ...SETTLED, isLater: true });
  }

  /** How many looks in a row have found the file changing. */
  triesOf(path: string): number {
    const known = this.#get(path);
    return known?.isBusy === true ? known.tries : 0;
  }

  /** The file goes on changing, but its bytes of one moment were read, so it may rest a while. */
  taken(path: string, stamp: string, now: number): void {
    const tries = this.triesOf(path);
    const restMs = this.#reads.get(path)?.restMs ?? 0;
    const at = now + Math.max(2 * restMs, BUSY_FILE_REST_MS_MIN);
    this.#next.set(path, { at, since: now, stamp, tries, isUnread: false, isBusy: true });
  }

  /** A file of so many bytes was read. */
  read(path: string, bytes: number, now: number): void {
    for (const [known, { atMs, restMs }] of this.#reads) {
      if (now - atMs > 2 * restMs) this.#reads.delete(known);
    }
    if (bytes < BUSY_FILE_BYTES_MIN) return;
    const restMs = REST_RATIO * READ_MS_PER_MIB * (bytes / 2 ** 20);
    const count = (this.#reads.get(path)?.count ?? 0) + 1;
    this.#reads.set(path, { atMs: now, restMs, count });
  }

  /**
   * A large file that changes all the time is read only now and then, whatever hints come (A14).
   *
   * @param isUnread true if its present content is not recorded.
   * @returns true if it must not be read now. It is looked at again when it may be read.
   */
  rests(path: string, bytes: number, now: number, isUnread: boolean): boolean {
    if (bytes < BUSY_FILE_BYTES_MIN) return false;
    const known = this.#get(path);
    const last = this.#reads.get(path);
    const busyUntil = known?.isBusy === true ? known.at : now;
    const readFrom =
      last !== undefined && last.count > FREE_READS_MAX ? last.atMs + last.restMs : now;
    const at = Math.max(busyUntil, readFrom);
    if (at <= now) return false;
    const { since, stamp, tries, isBusy } = known ?? { since: now, stamp: "", ...SETTLED };
    this.#next.set(path, { at, since, stamp, tries, isBusy, isUnread });
    return true;
  }

  /** True as long as some file changed each time it was read. */
  get hasUnread(): boolean {
    for (const { isUnread } of this.#next.values()) if (isUnread) return true;
    return false;
  }

  addTo(again: Map<string, number>): void {
    let laterCount = 0;
    for (const { isLater } of this.#next.values()) if (isLater === true) laterCount += 1;
    const laterMs = laterCount * LATER_MS_PER_PATH;
    const isMany = laterMs > RETRY_DELAY_MS_MAX;
    for (const [path, { at, since, isLater }] of this.#next) {
      // At common times, because each scan goes through all of them once.
      const laterAt = Math.ceil((since + laterMs) / RETRY_DELAY_MS_MAX) * RETRY_DELAY_MS_MAX;
      again.set(path, isLater === true && isMany ? laterAt : at);
    }
  }

  #get(path: string): Revisit | undefined {
    return this.#next.get(path) ?? this.#taken.get(path);
  }
}

/**
 * Nodes that were not found in their places, until they are found elsewhere or their absence
 * counts.
 */
export class Disappearances {
  readonly #since = new Map<NodeId, number>();
  readonly #seen = new Set<NodeId>();
  #latest = 0;

  get size(): number {
    return this.#since.size;
  }

  ids(): IterableIterator<NodeId> {
    return this.#since.keys();
  }

  has(id: NodeId): boolean {
    return this.#since.has(id);
  }

  /** @param isSeen true if the system reported it when it happened (A12). */
  add(id: NodeId, now: number, isSeen: boolean): void {
    if (this.#since.has(id)) return;
    this.#since.set(id, now);
    if (isSeen) this.#seen.add(id);
    this.#latest = now;
  }

  wasSeen(id: NodeId): boolean {
    return this.#seen.has(id);
  }

  /** The node has a place again, or is gone for good. */
  delete(id: NodeId): void {
    if (this.#since.size === 0) return;
    this.#since.delete(id);
    this.#seen.delete(id);
  }

  /**
   * True if the node's absence counts, because nothing else disappeared for a while. The guard's
   * window bounds the wait. Otherwise a folder in which something disappears all the time would
   * never report any deletion.
   */
  counts(id: NodeId, now: number): boolean {
    const since = this.#since.get(id);
    if (since === undefined) return false;
    return now - this.#latest >= DELETE_SETTLE_MS || now - since >= GUARD_WINDOW_MS;
  }

  /** When absences count if nothing else disappears. */
  get countsAtMs(): number {
    return this.#latest + DELETE_SETTLE_MS;
  }
}
