/**
 * SimUser: somebody who works in one client's folder: creates, edits, saves atomically, renames,
 * swaps, deletes, at any moment, also between two system calls of the client. Knows nothing of
 * sync. Rules: I3, I4, F39-F48, F51, F52, F80, F95.
 */

import { IGNORE_FILE } from "../../src/core/ignore.ts";
import { joinPath, parentPath } from "../../src/core/path.ts";
import { STATE_DIRECTORY } from "../../src/core/state-directory.ts";
import type { DirectoryInode, Durability, FileInode, Inode, SimDisk } from "./sim-disk.ts";
import type { SeenInode } from "./sim-entries.ts";
import type { SimLedger } from "./sim-ledger.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimTrace } from "./sim-trace.ts";

export interface SimUserParts {
  readonly label: string;
  readonly disk: SimDisk;
  readonly random: SimRandom;
  readonly ledger: SimLedger;
  readonly trace: SimTrace;
  readonly nowMs: () => number;
  readonly durability: Durability;
  /** Contents that several users may write, so that equal bytes meet. */
  readonly sharedContents: readonly Uint8Array[];
  readonly largeFiles: boolean;
  /** Names that only differ in case or Unicode form are used too. */
  readonly twinNames: boolean;
  /** Rules files are written too. */
  readonly ignoring: boolean;
  /** Where the client has met that very inode, seen from this place. */
  readonly recorded: (inode: Inode, place: Place) => Recorded;
}

const NAMES = ["a", "b", "c.txt", "d", "e"];
/** Twins of some of the names, and of one another. */
const TWIN_NAMES = [...NAMES, "A", "C.TXT", "\u00e9", "e\u0301"];
const RULES = ["c.txt\n", "b/\nd\n", "/e\n", "*\n!a\n!*.txt\n", "a/c.txt\n"];
const ENCODER = new TextEncoder();
/** So many new things get a name that nothing else has. */
const OWN_SHARE = 0.4;
const DEPTH_MAX = 3;
/** A handle that stays open longer than the quarantine lasts is a written limit. */
const HANDLE_MS_MAX = 30_000;

export type Recorded = Pick<SeenInode, "recorded" | "isOnlyLocal">;

interface Handle {
  readonly inode: FileInode;
  readonly path: string;
  readonly openedMs: number;
}

/** An entry in a backup. */
interface Saved {
  readonly path: string;
  readonly inode: Inode;
  readonly file?: Pick<FileInode, "bytes" | "executable" | "mtimeNs">;
}

export interface Place {
  readonly parent: DirectoryInode;
  readonly name: string;
  readonly path: string;
}

/** @param path what it is done to. @default anything */
type Action = (user: SimUser, path?: string) => string | undefined;

export class SimUser {
  readonly parts: SimUserParts;
  /** Until the trouble is over: all can be compared only without rules. */
  writesRules: boolean;
  /** The rest of something that takes several steps. */
  #queue: (() => string | undefined)[] = [];
  #handles: Handle[] = [];
  #backup: readonly Saved[] = [];
  #counter = 0;

  constructor(parts: SimUserParts) {
    this.parts = parts;
    this.writesRules = parts.ignoring;
  }

  /** The machine lost power: no program of the user's runs on. */
  powerCut(): void {
    this.#queue = [];
    this.#handles = [];
  }

  /** One edit, or the next step of one. */
  step(): void {
    const { trace, label, nowMs } = this.parts;
    const next = this.#queue.shift();
    const action = next === undefined ? pickAction(this.parts, this.writesRules) : undefined;
    const line = next === undefined ? action?.run(this) : next();
    if (line === undefined) return;
    if (action !== undefined) trace.count(`user ${action.name}`);
    trace.add(`${nowMs()} ${label} user ${line}`);
  }

  /** Does one of DUEL to what stands at that path. @returns which. */
  duel(path: string): string | undefined {
    const { trace, label, nowMs, random } = this.parts;
    const action = pickOf(DUEL, random);
    const line = action?.run(this, path);
    if (line === undefined) return undefined;
    trace.count(`duel ${action?.name}`);
    trace.add(`${nowMs()} ${label} user ${line} in a duel`);
    return action?.name;
  }

  /** Makes a file that is known by its name, sometimes in a directory that is. @returns its path. */
  makeOwnFile(): string {
    const { random, disk, ledger } = this.parts;
    let [directory, parent] = this.pickDirectory();
    if (random.chance(0.5)) {
      const place = this.#place(parent, directory, ledger.entries.freshName());
      const made = disk.newDirectory(parent);
      this.set([[place, made]]);
      [directory, parent] = [place.path, made];
    }
    const place = this.#place(parent, directory, ledger.entries.freshName());
    this.set([[place, this.newFile(place.path, this.newBytes())]]);
    return place.path;
  }

  /** Files that are known by their names. */
  ownFiles(): readonly string[] {
    const { entries } = this.parts.ledger;
    return this.visible()
      .filter(([path, { kind }]) => kind === "file" && entries.at(path) !== undefined)
      .map(([path]) => path);
  }

  /** Ends what takes several steps. */
  finish(): void {
    while (this.#queue.length > 0) this.step();
  }

  /** Overwrites the file at that path, or saves another one over it. @returns false where no file stands there. */
  editInTheWay(path: string): boolean {
    const place = this.placeOf(path);
    const inode = place?.parent.entries.get(place.name);
    const { random, trace, nowMs, label } = this.parts;
    if (place === undefined || inode?.kind !== "file") return false;
    if (random.chance(0.5)) this.put(inode, path, this.newBytes());
    else this.set([[place, this.newFile(path, this.newBytes())]]);
    trace.add(`${nowMs()} ${label} user edits ${path} in the way`);
    return true;
  }

  /** Overwrites the file at that path by as many bytes. @returns false where no file stands there. */
  overwriteAlike(path: string): boolean {
    const { random, disk, trace, nowMs, label } = this.parts;
    const inode = disk.at(path);
    if (inode?.kind !== "file" || inode.bytes.length === 0) return false;
    const text = ENCODER.encode(random.id<string>());
    const bytes = inode.bytes.map((byte, index) => text[index] ?? byte);
    this.put(inode, path, bytes);
    trace.add(`${nowMs()} ${label} user overwrites ${path} by as many bytes`);
    return true;
  }

  /** Takes away what stands at that path. @returns false where nothing does. */
  takeAway(path: string): boolean {
    const { random, trace, nowMs, label } = this.parts;
    const place = this.placeOf(path);
    if (place === undefined || !place.parent.entries.has(place.name)) return false;
    if (random.chance(0.3)) this.removeTree(place.path);
    else if (!this.rename(place, this.pickPlace(place.name))) return false;
    trace.add(`${nowMs()} ${label} user takes ${path} away`);
    return true;
  }

  /** A backup of the folder. */
  backUp(): void {
    this.#backup = this.visible().map(([path, inode]) => {
      if (inode.kind !== "file") return { path, inode };
      const { bytes, executable, mtimeNs } = inode;
      return { path, inode, file: { bytes, executable, mtimeNs } };
    });
  }

  /** Brings the backup back: what it has replaces what stands there, the rest stays. */
  bringBack(): boolean {
    const { disk, durability, trace, nowMs, label, ledger } = this.parts;
    if (this.#backup.length === 0) return false;
    for (const { path, inode, file } of this.#backup) {
      const place = this.placeOf(path);
      const existing = place?.parent.entries.get(place.name);
      if (place === undefined || existing?.kind === "directory") continue;
      if (inode.kind === "directory" && existing === undefined)
        this.set([[place, disk.newDirectory(place.parent)]]);
      if (inode.kind === "symlink") this.set([[place, disk.newSymlink(inode.target)]]);
      if (file === undefined) continue;
      const { bytes, ...metadata } = file;
      ledger.entries.disown(path);
      const restored = this.newFile(path, bytes);
      disk.setMetadata(restored, metadata, durability);
      if (durability === "durable") disk.syncFile(restored);
      this.set([[place, restored]]);
    }
    trace.add(`${nowMs()} ${label} user brings older files back`);
    return true;
  }

  /** Removes all rules files: what they hid comes to light. */
  unignore(): boolean {
    const rules = this.visible().filter(([path]) => path.split("/").at(-1) === IGNORE_FILE);
    for (const [path] of rules) this.removeTree(path);
    return rules.length > 0;
  }

  // Choices

  visible(): [string, Inode][] {
    const { disk } = this.parts;
    const found: [string, Inode][] = [];
    for (const entry of disk.walk()) {
      if (entry[0] !== STATE_DIRECTORY && !entry[0].startsWith(`${STATE_DIRECTORY}/`))
        found.push(entry);
    }
    return found;
  }

  pickEntry(kind?: Inode["kind"]): [string, Inode] | undefined {
    const entries = this.visible().filter(([, inode]) => kind === undefined || inode.kind === kind);
    return entries.length === 0 ? undefined : this.parts.random.pick(entries);
  }

  /** The file at that path, or any. */
  pickFile(path?: string): [string, FileInode] | undefined {
    const inode = path === undefined ? undefined : this.parts.disk.at(path);
    const entry = path === undefined ? this.pickEntry("file") : undefined;
    if (path !== undefined && inode?.kind === "file") return [path, inode];
    return entry?.[1].kind === "file" ? [entry[0], entry[1]] : undefined;
  }

  pickDirectory(): [string, DirectoryInode] {
    const { disk, random } = this.parts;
    const directories: [string, DirectoryInode][] = [["", disk.root]];
    for (const [path, inode] of this.visible()) {
      if (inode.kind === "directory" && path.split("/").length < DEPTH_MAX)
        directories.push([path, inode]);
    }
    return random.pick(directories);
  }

  /** @param moved what is moved there keeps its kind of name. @default it is new */
  pickPlace(moved?: string): Place {
    const [path, parent] = this.pickDirectory();
    const { random, twinNames, ledger } = this.parts;
    const { entries } = ledger;
    const isOwn = moved === undefined ? random.chance(OWN_SHARE) : entries.isOwnName(moved);
    if (!isOwn) return this.#place(parent, path, random.pick(twinNames ? TWIN_NAMES : NAMES));
    const isKept = moved !== undefined && random.chance(0.3);
    return this.#place(parent, path, isKept ? moved : entries.freshName());
  }

  placeOf(path: string): Place | undefined {
    const cut = path.lastIndexOf("/");
    const directory = cut < 0 ? "" : path.slice(0, cut);
    const parent = this.parts.disk.at(directory);
    if (parent?.kind !== "directory") return undefined;
    return this.#place(parent, directory, path.slice(cut + 1));
  }

  #place(parent: DirectoryInode, directory: string, wanted: string): Place {
    const name = this.parts.disk.spelling(parent, wanted);
    return { parent, name, path: directory === "" ? name : `${directory}/${name}` };
  }

  newBytes(): Uint8Array {
    const { random, sharedContents, label, largeFiles } = this.parts;
    if (random.chance(0.15)) return random.pick(sharedContents);
    const text = `${label} ${this.#counter++} ${random.id<string>().slice(0, 6)}\n`;
    const kind = random.fraction();
    const size =
      kind < 0.8 ? 0 : kind < 0.96 || !largeFiles ? 9_000 : 40_000 + random.below(200_000);
    if (size === 0) return ENCODER.encode(text);
    const bytes = new Uint8Array(size + text.length);
    let word = random.below(0x7fffffff) | 1;
    for (let index = 0; index < size; index++) {
      word = (Math.imul(word, 1_103_515_245) + 12_345) | 0;
      bytes[index] = word >>> 16;
    }
    bytes.set(ENCODER.encode(text), size);
    return bytes;
  }

  // Deeds

  later(...steps: (() => string | undefined)[]): void {
    this.#queue.push(...steps);
  }

  /** @param path where the file is, or was when it was opened. */
  put(inode: FileInode, path: string, bytes: Uint8Array): void {
    const { disk, ledger, label, nowMs, durability } = this.parts;
    const { entries } = ledger;
    if (inode.bytes !== bytes) ledger.destroyed(inode.bytes);
    const before = ledger.digest(inode.bytes);
    disk.write(inode, bytes, "user", durability);
    if (inode.links > 0) {
      ledger.wrote(label, path, bytes, nowMs());
      const digest = ledger.digest(bytes);
      entries.timed(label, digest, undefined, inode.mtimeNs);
      const place = disk.at(path) === inode ? path : disk.pathOf(inode);
      if (this.#isDisplaced(inode)) ledger.wroteLate(path, digest);
      if (place !== undefined && !isOfClient(place)) entries.written(label, place, before, digest);
    }
    disk.touched(path);
  }

  /** One of its names, where it has several, is below the state directory. */
  #isDisplaced(inode: FileInode): boolean {
    const { disk } = this.parts;
    if (inode.links === 1) return isOfClient(disk.pathOf(inode) ?? "");
    return [...disk.walk()].some(([path, one]) => one === inode && isOfClient(path));
  }

  /** Writes a new file without a name yet. */
  newFile(path: string, bytes: Uint8Array): FileInode {
    const { disk, ledger, label, nowMs, durability } = this.parts;
    const inode = disk.newFile("user");
    disk.write(inode, bytes, "user", durability);
    ledger.wrote(label, path, bytes, nowMs());
    ledger.entries.timed(label, ledger.digest(bytes), undefined, inode.mtimeNs);
    return inode;
  }

  set(changes: readonly [Place, Inode | undefined][]): void {
    const { disk, ledger, durability, label } = this.parts;
    const before = changes.map(([{ parent, name }]) => parent.entries.get(name));
    const seenBefore = changes.map(([place], index) => this.#see(before[index], place));
    const slots = changes.map(([{ parent, name }, inode]) => ({
      directory: parent,
      name,
      after: inode,
    }));
    const paths = changes.map(([{ path }]) => path);
    disk.link(slots, durability, paths);
    ledger.entries.renamed(
      label,
      changes.map(([place, inode], index) => ({
        path: place.path,
        before: seenBefore[index],
        after: this.#see(inode, place),
      })),
    );
    for (const path of paths) if (disk.lookup(path) === "denied") this.hide(path);
    for (const inode of before)
      if (inode?.kind === "file" && inode.links === 0) ledger.destroyed(inode.bytes);
  }

  /** Where the client cannot look: where what is there came from, no scan can tell. */
  hide(above: string): void {
    const { entries } = this.parts.ledger;
    for (const [path, inode] of this.visible()) {
      if (path !== above && !path.startsWith(`${above}/`)) continue;
      entries.unseen(path);
      if (inode.kind === "file") entries.loosenTime(this.parts.ledger.digest(inode.bytes));
    }
  }

  #see(inode: Inode | undefined, place: Place): SeenInode | undefined {
    if (inode === undefined) return undefined;
    const { kind, links } = inode;
    const seen = { key: inode, kind, links, ...this.parts.recorded(inode, place) };
    if (inode.kind !== "file") return seen;
    const { executable } = inode;
    return { ...seen, executable, digest: this.parts.ledger.digest(inode.bytes) };
  }

  /** rename(2): replaces a file, or an empty directory by a directory. */
  rename(from: Place, to: Place): boolean {
    const inode = from.parent.entries.get(from.name);
    const victim = to.parent.entries.get(to.name);
    if (inode === undefined || inode === victim) return false;
    if (this.parts.disk.isBelow(to.parent, inode)) return false;
    if (victim !== undefined) {
      if ((victim.kind === "directory") !== (inode.kind === "directory")) return false;
      if (victim.kind === "directory" && victim.entries.size > 0) return false;
    }
    this.set([
      [from, undefined],
      [to, inode],
    ]);
    return true;
  }

  removeTree(path: string): void {
    const place = this.placeOf(path);
    const inode = place?.parent.entries.get(place.name);
    if (place === undefined || inode === undefined) return;
    if (inode.kind === "directory")
      for (const name of [...inode.entries.keys()]) this.removeTree(`${path}/${name}`);
    this.set([[place, undefined]]);
  }

  openHandle(inode: FileInode, path: string): void {
    this.#handles.push({ inode, path, openedMs: this.parts.nowMs() });
  }

  takeHandle(): Handle | undefined {
    const handle = this.#handles.shift();
    if (handle === undefined || this.parts.nowMs() - handle.openedMs > HANDLE_MS_MAX)
      return undefined;
    return handle.inode.links === 0 ? undefined : handle;
  }
}

interface NamedAction {
  readonly name: string;
  readonly weight: number;
  readonly run: Action;
}

function create(user: SimUser): string | undefined {
  const place = user.pickPlace();
  if (place.parent.entries.has(place.name)) return undefined;
  user.set([[place, user.newFile(place.path, user.newBytes())]]);
  return `creates ${place.path}`;
}

function overwrite(user: SimUser, path?: string): string | undefined {
  const entry = user.pickFile(path);
  if (entry === undefined) return undefined;
  user.put(entry[1], entry[0], user.newBytes());
  return `overwrites ${entry[0]}`;
}

function append(user: SimUser, at?: string): string | undefined {
  const entry = user.pickFile(at);
  if (entry === undefined) return undefined;
  const more = ENCODER.encode(`+${user.parts.random.below(1_000_000)}\n`);
  const bytes = new Uint8Array(entry[1].bytes.length + more.length);
  bytes.set(entry[1].bytes);
  bytes.set(more, entry[1].bytes.length);
  user.put(entry[1], entry[0], bytes);
  return `appends to ${entry[0]}`;
}

/** Truncates, then writes in a second step, as editors do that save in place. */
function rewrite(user: SimUser, at?: string): string | undefined {
  const entry = user.pickFile(at);
  if (entry === undefined) return undefined;
  const [path, inode] = entry;
  user.put(inode, path, new Uint8Array(0));
  user.later(() => {
    user.put(inode, path, user.newBytes());
    return `rewrites ${path}`;
  });
  return `truncates ${path}`;
}

function saveAtomically(user: SimUser, at?: string): string | undefined {
  const entry = user.pickFile(at);
  if (at !== undefined && entry === undefined) return undefined;
  const place = entry === undefined ? user.pickPlace() : user.placeOf(entry[0]);
  if (place === undefined) return undefined;
  const temporary = { ...place, name: `${place.name}~`, path: `${place.path}~` };
  if (temporary.parent.entries.has(temporary.name)) return undefined;
  user.set([[temporary, user.newFile(temporary.path, user.newBytes())]]);
  user.later(() => (user.rename(temporary, place) ? `saves ${place.path}` : undefined));
  return `writes ${temporary.path}`;
}

function move(user: SimUser, path = user.pickEntry()?.[0]): string | undefined {
  const from = path === undefined ? undefined : user.placeOf(path);
  const to = user.pickPlace(from?.name);
  if (from === undefined || !user.rename(from, to)) return undefined;
  return `moves ${from.path} to ${to.path}`;
}

function makeDirectory(user: SimUser): string | undefined {
  const place = user.pickPlace();
  if (place.parent.entries.has(place.name)) return undefined;
  user.set([[place, user.parts.disk.newDirectory(place.parent)]]);
  return `makes ${place.path}/`;
}

function remove(user: SimUser, path = user.pickEntry()?.[0]): string | undefined {
  const inode = path === undefined ? undefined : user.parts.disk.at(path);
  if (path === undefined || inode === undefined || inode.kind === "directory") return undefined;
  user.removeTree(path);
  return `removes ${path}`;
}

/** Gives it another name where it is. */
function rename(user: SimUser, path?: string): string | undefined {
  const from = path === undefined ? undefined : user.placeOf(path);
  if (from === undefined) return undefined;
  const name = user.parts.ledger.entries.freshName();
  const to = { ...from, name, path: joinPath(parentPath(from.path), name) };
  return user.rename(from, to) ? `renames ${from.path} to ${to.path}` : undefined;
}

/** Something happens to the directory that it is in. */
function renameAbove(user: SimUser, path = ""): string | undefined {
  const above = parentPath(path);
  if (above === "") return undefined;
  return user.parts.random.chance(0.5) ? rename(user, above) : move(user, above);
}

function removeTree(user: SimUser): string | undefined {
  const entry = user.pickEntry("directory");
  if (entry === undefined) return undefined;
  user.removeTree(entry[0]);
  return `removes ${entry[0]}/`;
}

function swap(user: SimUser): string | undefined {
  const one = user.pickEntry();
  const two = user.pickEntry();
  const a = one === undefined ? undefined : user.placeOf(one[0]);
  const b = two === undefined ? undefined : user.placeOf(two[0]);
  if (a === undefined || b === undefined || one === undefined || two === undefined)
    return undefined;
  if (one[1] === two[1]) return undefined;
  const { disk } = user.parts;
  if (disk.isBelow(a.parent, two[1]) || disk.isBelow(b.parent, one[1])) return undefined;
  user.set([
    [a, two[1]],
    [b, one[1]],
  ]);
  return `swaps ${a.path} and ${b.path}`;
}

function changeKind(user: SimUser): string | undefined {
  const entry = user.pickEntry();
  const place = entry === undefined ? undefined : user.placeOf(entry[0]);
  if (entry === undefined || place === undefined) return undefined;
  user.removeTree(entry[0]);
  const { disk } = user.parts;
  if (entry[1].kind === "directory") user.set([[place, user.newFile(place.path, user.newBytes())]]);
  else {
    const directory = disk.newDirectory(place.parent);
    user.set([[place, directory]]);
    const inner = { parent: directory, name: "a", path: `${place.path}/a` };
    user.set([[inner, user.newFile(inner.path, user.newBytes())]]);
  }
  return `replaces ${place.path} by another kind`;
}

function symlink(user: SimUser): string | undefined {
  const place = user.pickPlace();
  const existing = place.parent.entries.get(place.name);
  if (existing !== undefined && existing.kind !== "symlink") return undefined;
  const target = user.parts.random.pick(["a", "../b", "/etc/passwd", "nowhere"]);
  user.set([[place, user.parts.disk.newSymlink(target)]]);
  return `links ${place.path}`;
}

function chmod(user: SimUser, path?: string): string | undefined {
  const entry = user.pickFile(path);
  const place = entry === undefined ? undefined : user.placeOf(entry[0]);
  if (entry === undefined || place === undefined) return undefined;
  const { disk, durability, ledger, label } = user.parts;
  const executable = !entry[1].executable;
  disk.setMetadata(entry[1], { executable }, durability, place.parent);
  ledger.entries.madeExecutable(label, place.path, executable);
  disk.touched(place.path);
  return `flips the executable bit of ${place.path}`;
}

function touch(user: SimUser, path?: string): string | undefined {
  const entry = user.pickFile(path);
  const place = entry === undefined ? undefined : user.placeOf(entry[0]);
  if (entry === undefined || place === undefined) return undefined;
  const { disk, durability, random, ledger, label } = user.parts;
  const before = entry[1].mtimeNs;
  const mtimeNs = random.chance(0.2) ? BigInt(random.below(3)) - 1n : disk.nowNs();
  disk.setMetadata(entry[1], { mtimeNs }, durability, place.parent);
  ledger.entries.timed(label, ledger.digest(entry[1].bytes), before, mtimeNs);
  disk.touched(place.path);
  return `touches ${place.path}`;
}

function hardLink(user: SimUser): string | undefined {
  const entry = user.pickFile();
  const place = user.pickPlace();
  if (entry === undefined || place.parent.entries.has(place.name)) return undefined;
  const { ledger } = user.parts;
  for (const path of [entry[0], place.path]) ledger.entries.disown(path);
  // The new name's file has the time that these bytes have here, whatever others give them.
  ledger.entries.forgetTimes(ledger.digest(entry[1].bytes));
  user.set([[place, entry[1]]]);
  return `hard-links ${entry[0]} as ${place.path}`;
}

/** Opens a file now and writes to it later, wherever it may be by then. */
function writeLate(user: SimUser): string | undefined {
  const entry = user.pickEntry("file");
  if (entry === undefined || entry[1].kind !== "file") return undefined;
  user.openHandle(entry[1], entry[0]);
  user.later(
    () => undefined,
    () => {
      const handle = user.takeHandle();
      if (handle === undefined) return undefined;
      user.put(handle.inode, handle.path, user.newBytes());
      return `writes late to what was ${handle.path}`;
    },
  );
  return `opens ${entry[0]}`;
}

/** Another spelling of the same name. */
function respell(user: SimUser): string | undefined {
  const entry = user.pickEntry();
  const from = entry === undefined ? undefined : user.placeOf(entry[0]);
  if (entry === undefined || from === undefined) return undefined;
  const { disk, random } = user.parts;
  const { parent } = from;
  const name = random.pick(TWIN_NAMES.filter((twin) => isTwin(twin, from.name)).concat(from.name));
  const isFree = [name, from.name].includes(disk.spelling(parent, name));
  if (name === from.name || !isFree || parent.entries.has(name)) return undefined;
  user.set([
    [from, undefined],
    [{ ...from, name, path: `${from.path.slice(0, -from.name.length)}${name}` }, entry[1]],
  ]);
  return `spells ${from.path} as ${name}`;
}

function isTwin(one: string, other: string): boolean {
  return one.normalize("NFC").toLowerCase() === other.normalize("NFC").toLowerCase();
}

function writeRules(user: SimUser): string | undefined {
  const { random, disk } = user.parts;
  const [directory, parent] = random.chance(0.7)
    ? (["", disk.root] as const)
    : user.pickDirectory();
  const path = directory === "" ? IGNORE_FILE : `${directory}/${IGNORE_FILE}`;
  const existing = parent.entries.get(IGNORE_FILE);
  if (existing?.kind === "directory") return undefined;
  const isEnd = existing !== undefined && random.chance(0.4);
  const rules = isEnd ? undefined : user.newFile(path, ENCODER.encode(random.pick(RULES)));
  user.set([[{ parent, name: IGNORE_FILE, path }, rules]]);
  return `${isEnd ? "removes" : "writes"} the rules ${path}`;
}

const ACTIONS: readonly NamedAction[] = [
  { name: "create", weight: 16, run: create },
  { name: "overwrite", weight: 14, run: overwrite },
  { name: "append", weight: 6, run: append },
  { name: "rewrite", weight: 4, run: rewrite },
  { name: "atomic save", weight: 10, run: saveAtomically },
  { name: "move", weight: 14, run: move },
  { name: "mkdir", weight: 10, run: makeDirectory },
  { name: "remove", weight: 8, run: remove },
  { name: "remove tree", weight: 3, run: removeTree },
  { name: "swap", weight: 4, run: swap },
  { name: "change kind", weight: 3, run: changeKind },
  { name: "symlink", weight: 3, run: symlink },
  { name: "chmod", weight: 3, run: chmod },
  { name: "touch", weight: 3, run: touch },
  { name: "hard link", weight: 1, run: hardLink },
  { name: "late write", weight: 3, run: writeLate },
];
const SPELLING: NamedAction = { name: "spelling", weight: 6, run: respell };
const IGNORING: NamedAction = { name: "rules", weight: 6, run: writeRules };

/** What several users do to one file at the same moment. */
const DUEL: readonly NamedAction[] = [
  { name: "append", weight: 6, run: append },
  { name: "overwrite", weight: 3, run: overwrite },
  { name: "rewrite", weight: 1, run: rewrite },
  { name: "save", weight: 3, run: saveAtomically },
  { name: "rename", weight: 6, run: rename },
  { name: "move", weight: 3, run: move },
  { name: "chmod", weight: 5, run: chmod },
  { name: "touch", weight: 3, run: touch },
  { name: "rename above", weight: 3, run: renameAbove },
  { name: "remove", weight: 1, run: remove },
];
function isOfClient(path: string): boolean {
  return path.startsWith(`${STATE_DIRECTORY}/`);
}

/** Of these two at once make a conflict copy. */
export const WRITES: ReadonlySet<string> = new Set(["append", "overwrite", "rewrite", "save"]);

function pickAction({ random, twinNames }: SimUserParts, writesRules: boolean) {
  const actions = [
    ...ACTIONS,
    ...(twinNames ? [SPELLING] : []),
    ...(writesRules ? [IGNORING] : []),
  ];
  return pickOf(actions, random);
}

function pickOf(actions: readonly NamedAction[], random: SimRandom): NamedAction | undefined {
  let left = random.fraction() * actions.reduce((sum, { weight }) => sum + weight, 0);
  for (const action of actions) {
    left -= action.weight;
    if (left < 0) return action;
  }
  return undefined;
}
