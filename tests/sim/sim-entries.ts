/**
 * Entries: what users do to things whose names nobody else uses, aspect by aspect, so that it can
 * be asked at the end whether anything of it was undone. The law:
 *
 *   What a user wrote, named or set, and no user has since replaced knowing it, is in the present
 *   tree of every device, or in a conflict copy. History excuses only what a user gave up.
 *
 * A name is drawn for one entry and belongs to it for ever, so that the entry is recognised by it
 * on every disk and in the log, whatever the clients do. Name, directory, bytes and executable bit
 * are a Register each; times are one for each content, since the time goes with the bytes. Whether
 * all bytes are there, in place or in a conflict copy, SimLedger asks, under whatever names.
 *
 * What is excused, and why nobody could do better:
 * - Where a client was killed, or could not make durable what it had done, between putting a file
 *   in place and recording it, and a user wrote to it meanwhile, its bytes are in a conflict copy:
 *   in place they are asked for in calm times only, and all else that users of that device did not
 *   until all agree again (`weaken`).
 * - Of what was moved while the hints of it were lost, or where nobody may look, or right after
 *   another file took its place, or right before one did: mode, time and directory (A1, A3, A4,
 *   Y2). Where the client knows that other file by the name under which it was written: the entry's
 *   name, too, since somebody else may rename that one. Mode and time that were set within the
 *   system call by which the client sets them (D2).
 * - Of acts on different devices that did not know each other, on one aspect, one wins (R4, R6).
 * - Of moves that would make a cycle, the later one in the log is undone (R10).
 * - Mode, time and directory alone do not keep what somebody deleted, overwrote or saved over
 *   another file (R7, A15). What has a temporary name, or only its device knows, is also saved
 *   where it only swaps places.
 * - A device that lost its state, or its user's unsynced acts in a power cut: acts of its own user
 *   until all agree again (`weaken`). It has no base: where it differs, the server's stays (R11).
 * - Bytes that are put back after the state was lost: their time (D7).
 * - A server that was restored, a state database that was rolled back, rules that hid a part: all
 *   acts until then (`loosen`). Several older versions are proposed anew, in any order (S5, A7).
 * - Things that were hard-linked, exchanged, replaced by another kind or made anew under a name
 *   that was used before are no entries any more: names do not tell which is which.
 */
import { type Digest, EMPTY_DIGEST } from "../../src/core/digest.ts";
import { baseName, looksTemporary, parentPath } from "../../src/core/path.ts";
import { Register } from "./sim-register.ts";

/** What stands at a path, for the ledger. */
export interface Seen {
  readonly path: string;
  readonly kind: "file" | "directory" | "symlink" | "other";
  /** Of files. */
  readonly digest?: Digest;
  readonly executable?: boolean;
  readonly mtimeNs?: bigint;
}

/** The same on one disk, where `key` tells things apart. */
export type SeenInode = Omit<Seen, "path" | "mtimeNs"> & {
  readonly key: object;
  readonly links: number;
  /** Where the device's client has met it. */
  readonly recorded: "nowhere" | "here" | "elsewhere";
  /** The log has never had it, as far as that client knows. */
  readonly isOnlyLocal?: boolean;
};

/** One name that got, lost or changed what it leads to. */
export interface NameChange {
  readonly path: string;
  readonly before: SeenInode | undefined;
  readonly after: SeenInode | undefined;
}

/** The directory of an entry: another entry, the root, or one that has no name of its own. */
type Directory = Entry | "root" | undefined;

interface Entry {
  readonly kind: Seen["kind"];
  /** All names that it ever had. */
  readonly names: Set<string>;
  readonly name: Register<string | undefined>;
  readonly directory: Register<Directory>;
  readonly bytes: Register<Digest | undefined>;
  readonly executable: Register<boolean | undefined>;
  isDeleted: boolean;
  /** Another file has taken its place since all agreed. */
  isReplaced: boolean;
}

type SeenByName = ReadonlyMap<string, readonly Seen[]>;

const OWN_NAME = /^u\d+$/;
/** Bytes that were put back after the state was lost. */
const RECOVERED = /^recovered\b|\(recovered /;

export class SimEntries {
  /** Undefined where it is no entry any more. */
  readonly #byName = new Map<string, Entry | undefined>();
  readonly #times = new Map<Digest, Register<bigint | undefined>>();
  readonly #weak = new Set<string>();
  #count = 0;

  /** A name that nothing has yet. */
  freshName(): string {
    return `u${this.#count++}`;
  }

  isOwnName(name: string): boolean {
    return OWN_NAME.test(name);
  }

  /** What stands at that path, if it is known by its name. */
  at(path: string): object | undefined {
    return this.#byName.get(baseName(path));
  }

  // Acts of users

  /** Names of one folder changed in one step. */
  renamed(device: string, changes: readonly NameChange[]): void {
    for (const change of changes) {
      const { before, after } = change;
      if (after === undefined || after.key === before?.key) continue;
      const from = changes.find((other) => other !== change && other.before?.key === after.key);
      if (from === undefined) this.#made(device, change, after);
      else this.#moved(device, from, change);
      // The file that it was is given up for the one whose place it takes.
      const isKept = changes.some((one) => one.after?.key === before?.key);
      const isSave = !isKept || looksTemporary(baseName(from?.path ?? ""));
      const isGivenUp = before?.kind === after.kind && isSave && after.recorded !== "nowhere";
      if (isGivenUp && after.digest !== undefined) this.loosenTime(after.digest);
      // It is that one's edit, whose former bytes are a new file where they went.
      const isEdit = isKept && before?.kind === after.kind && after.isOnlyLocal === true;
      if (isEdit && before.digest !== undefined) this.loosenTime(before.digest);
    }
    for (const { path, before } of changes) {
      const isKept = changes.some(({ after }) => after?.key === before?.key);
      const isTaken = changes.some((other) => other.path === path && other.after !== undefined);
      if (before !== undefined && !isKept && !isTaken) this.#removed(device, path, before);
    }
  }

  #made(device: string, { path, before }: NameChange, made: SeenInode): void {
    const name = baseName(path);
    if (!OWN_NAME.test(name)) return;
    if (!this.#byName.has(name)) {
      if (made.links === 1) this.#byName.set(name, this.#newEntry(device, path, made));
      else this.disown(path);
      return;
    }
    if (made.links === 1) this.#saved(device, path, before, made);
    else this.disown(path);
  }

  #newEntry(device: string, path: string, { kind, digest, executable }: SeenInode): Entry {
    const name = baseName(path);
    const entry: Entry = {
      kind,
      names: new Set([name]),
      name: new Register<string | undefined>(undefined),
      directory: new Register(this.#directoryOf(path)),
      bytes: new Register<Digest | undefined>(undefined),
      executable: new Register(executable),
      isDeleted: false,
      isReplaced: false,
    };
    entry.name.set(device, undefined, name);
    entry.bytes.set(device, undefined, digest);
    return entry;
  }

  #moved(device: string, from: NameChange, { path, before, after }: NameChange): void {
    const [fromPath, fromName, name] = [from.path, baseName(from.path), baseName(path)];
    const entry = this.#byName.get(fromName);
    if (fromName !== name && this.#byName.has(name)) {
      const isSave = !OWN_NAME.test(fromName) && after !== undefined;
      if (isSave) this.#saved(device, path, before, after);
      else for (const one of [fromPath, path]) this.disown(one);
      return;
    }
    const isKnown = entry !== undefined && before === undefined && OWN_NAME.test(name);
    if (!isKnown) {
      for (const one of [fromPath, path]) this.disown(one);
      return;
    }
    const recorded = from.before?.recorded;
    if (entry.isReplaced && recorded !== "here") this.unseen(fromPath);
    if (parentPath(fromPath) !== parentPath(path))
      entry.directory.set(device, this.#directoryOf(fromPath), this.#directoryOf(path));
    if (fromName === name) return;
    entry.name.set(device, fromName, name);
    // What the client sees is the saved file, renamed from the name that it was written under.
    if (entry.isReplaced && recorded === "elsewhere") entry.name.loosen();
    entry.names.add(name);
    this.#byName.set(name, entry);
  }

  /** Another file took the entry's place, as editors save. */
  #saved(device: string, path: string, before: SeenInode | undefined, after: SeenInode): void {
    const entry = this.#byName.get(baseName(path));
    if (before?.kind !== after.kind) this.disown(path);
    else if (entry !== undefined && after.kind === "file") {
      // Nothing is left that tells the client which file came here.
      if (before.recorded === "elsewhere") this.unseen(path);
      entry.isReplaced = true;
      entry.bytes.set(device, before.digest, after.digest);
      if (before.executable !== after.executable)
        entry.executable.set(device, before.executable, after.executable);
    }
  }

  #removed(device: string, path: string, { digest }: SeenInode): void {
    const name = baseName(path);
    const entry = this.#byName.get(name);
    if (entry === undefined) return;
    entry.name.giveUp(device, name);
    entry.bytes.giveUp(device, digest);
    entry.directory.loosen();
    entry.executable.loosen();
    this.#loosenTimes(entry);
    entry.isDeleted = true;
  }

  /** Its bytes may be these, though nobody wrote them there. */
  mayHold(path: string, to: Digest): void {
    this.#byName.get(baseName(path))?.bytes.allow(to);
  }

  written(device: string, path: string, from: Digest, to: Digest): void {
    this.#byName.get(baseName(path))?.bytes.set(device, from, to);
  }

  madeExecutable(device: string, path: string, to: boolean): void {
    this.#byName.get(baseName(path))?.executable.set(device, !to, to);
  }

  /** @param from undefined where the bytes are new. */
  timed(device: string, digest: Digest, from: bigint | undefined, to: bigint): void {
    if (digest === EMPTY_DIGEST) return;
    const register = this.#times.get(digest) ?? new Register<bigint | undefined>(undefined);
    this.#times.set(digest, register);
    register.set(device, from, to);
  }

  /** Names do not tell any more what it is. */
  disown(path: string): void {
    const name = baseName(path);
    if (!OWN_NAME.test(name)) return;
    const entry = this.#byName.get(name);
    for (const one of entry?.names ?? [name]) this.#byName.set(one, undefined);
    if (entry !== undefined) this.#loosenTimes(entry);
  }

  #loosenTimes({ bytes }: Entry): void {
    for (const digest of bytes.values()) if (digest !== undefined) this.loosenTime(digest);
  }

  /** A file with these bytes is given up somewhere: what others set of it need not be kept. */
  loosenTime(digest: Digest): void {
    this.#times.get(digest)?.loosen();
  }

  /** The bytes exist several times, each with a time of its own. */
  forgetTimes(digest: Digest): void {
    const register = new Register<bigint | undefined>(undefined);
    register.loosen();
    this.#times.set(digest, register);
  }

  // Excuses

  /** What the device's own user did may be lost, until all agree. */
  weaken(device: string): void {
    this.#weak.add(device);
  }

  /** Whatever was done so far may come out in any way, until all agree. */
  loosen(): void {
    for (const entry of this.#entries()) {
      for (const register of [entry.name, entry.directory, entry.bytes, entry.executable])
        register.loosen();
    }
    for (const register of this.#times.values()) register.loosen();
  }

  /** The client was not told of a change there: what was moved looks deleted and made anew. */
  unseen(path: string): void {
    const entry = this.#byName.get(baseName(path));
    if (entry === undefined) return;
    entry.directory.loosen();
    entry.executable.loosen();
    this.#loosenTimes(entry);
  }

  // The law

  /**
   * @param isCalm bytes are owed in place, not in a conflict copy, where nothing clashes
   * @returns what was undone in this tree, on which all agree.
   */
  undone(tree: readonly Seen[], isCalm: boolean): readonly string[] {
    const byName = Map.groupBy(tree, ({ path }) => baseName(path));
    const lines = [...this.#entries()].flatMap((entry) => {
      const found = [...entry.names].flatMap((name) => byName.get(name) ?? []);
      return this.#undoneOf(entry, { found, byName }, isCalm);
    });
    const byDigest = Map.groupBy(tree, ({ digest }) => digest);
    for (const [digest, register] of this.#times) {
      const found = byDigest.get(digest) ?? [];
      const allowed = register.allowed(this.#weak);
      if (found.length === 0 || allowed === undefined) continue;
      if (found.every(({ path }) => RECOVERED.test(baseName(path)))) continue;
      if (found.some(({ mtimeNs }) => allowed.includes(mtimeNs))) continue;
      const are = found.map(({ path, mtimeNs }) => `${path} is ${mtimeNs}`).join();
      lines.push(`time of ${are}, not ${allowed.join(" or ")}`);
    }
    return lines;
  }

  #undoneOf(
    entry: Entry,
    { found, byName }: { readonly found: readonly Seen[]; readonly byName: SeenByName },
    isCalm: boolean,
  ): readonly string[] {
    const weak = this.#weak;
    const names = [...entry.names].join(" ");
    if (found.length === 0) {
      // Bytes that somebody else wrote meanwhile may be in a conflict copy by now.
      const isOwed = !entry.isDeleted || entry.name.isOwed(weak);
      const isMade = entry.name.allowed(weak) !== undefined;
      return isMade && isOwed ? [`${entry.kind} ${names} is gone`] : [];
    }
    const lines: string[] = [];
    const check = <Value>(aspect: string, register: Register<Value>, of: (seen: Seen) => Value) => {
      const allowed = register.allowed(weak);
      if (allowed === undefined || found.some((seen) => allowed.includes(of(seen)))) return;
      const are = found.map((seen) => `${seen.path} has ${show(of(seen))}`).join(", ");
      lines.push(`${aspect} of ${names}: ${are}, not ${allowed.map(show).join(" or ")}`);
    };
    check("name", entry.name, ({ path }) => baseName(path));
    const isInItself = (one: Directory) => this.#isBelow(one, found, byName);
    if (!entry.directory.allowed(weak)?.some((one) => this.#isUnknown(one) || isInItself(one)))
      check("directory", entry.directory, ({ path }) => this.#directoryOf(path));
    if (entry.kind === "file") {
      if (isCalm) check("bytes", entry.bytes, ({ digest }) => digest);
      check("executable bit", entry.executable, ({ executable }) => executable);
    }
    return lines;
  }

  /** All devices hold this tree and nothing waits: every later act knows it. */
  agree(tree: readonly Seen[]): void {
    const byName = Map.groupBy(tree, ({ path }) => baseName(path));
    for (const entry of [...this.#entries()]) {
      const found = [...entry.names].flatMap((name) => byName.get(name) ?? []);
      const [seen] = found;
      const [first = ""] = entry.names;
      if (seen === undefined || found.length > 1 || seen.kind !== entry.kind) {
        this.disown(first);
        continue;
      }
      const name = baseName(seen.path);
      for (const old of entry.names) if (old !== name) this.#byName.set(old, undefined);
      entry.names.clear();
      entry.names.add(name);
      entry.name.agree(name);
      entry.directory.agree(this.#directoryOf(seen.path));
      entry.bytes.agree(seen.digest);
      entry.executable.agree(seen.executable);
      entry.isDeleted = false;
      entry.isReplaced = false;
    }
    this.#weak.clear();
    this.#agreeTimes(tree);
  }

  #agreeTimes(tree: readonly Seen[]): void {
    const byDigest = Map.groupBy(tree, ({ digest }) => digest);
    for (const [digest, register] of this.#times) {
      const found = byDigest.get(digest) ?? [];
      const [seen] = found;
      if (found.length === 1) register.agree(seen?.mtimeNs);
      else if (found.length === 0) this.#times.delete(digest);
      else register.loosen();
    }
  }

  #directoryOf(path: string): Directory {
    const parent = parentPath(path);
    return parent === "" ? "root" : this.#byName.get(baseName(parent));
  }

  /** True for a directory that is by now, by another's move, in what was found. */
  #isBelow(directory: Directory, found: readonly Seen[], byName: SeenByName): boolean {
    if (directory === undefined || directory === "root") return false;
    const places = [...directory.names].flatMap((name) => byName.get(name) ?? []);
    return places.some(({ path }) => found.some((above) => path.startsWith(`${above.path}/`)));
  }

  /** Directories without a name of their own, or that lost it meanwhile. */
  #isUnknown(directory: Directory): boolean {
    if (directory === "root") return false;
    const [name = ""] = directory?.names ?? [];
    return directory === undefined || this.#byName.get(name) !== directory;
  }

  #entries(): ReadonlySet<Entry> {
    const found = new Set<Entry>();
    for (const entry of this.#byName.values()) if (entry !== undefined) found.add(entry);
    return found;
  }
}

function show(value: unknown): string {
  if (typeof value === "string") return value.slice(0, 12);
  if (typeof value === "object" && value !== null && "names" in value)
    return value.names instanceof Set ? `[${[...value.names].join(" ")}]` : "";
  return String(value);
}
