/**
 * The ledger: what users did, and what follows from it. Every state that a file had under a user's
 * hand is known; the last one of each file is required until a user's own hand replaced it, with
 * what stood on that disk at that moment. Who did what to which file and at which path is known for
 * the round, which begins with all folders equal. Rules: I2, I5, I6.
 */
import { looksTemporary } from "../../src/core/path.ts";
import { digestOf, type Snapshot } from "../scenarios/snapshot.ts";
import { contentIn, contentsIn, isCopy } from "./chaos-snapshot.ts";

/** What one user's hand did, in one line of a journal. */
export interface JournalLine {
  readonly atMs: number;
  readonly device: string;
  readonly what: string;
  readonly paths: readonly string[];
  /** Names of the pieces that it was done to. */
  readonly pieces: readonly string[];
}

/** A name or a directory that users gave: who knew whose is told from what he changed. */
export interface Aspect {
  /** What each device gave last, unless another one changed that on, knowing it. */
  readonly by: Map<string, string>;
  readonly values: Set<string>;
  /** It is again what it was: who knew what cannot be told any more. */
  returned: boolean;
}

/** One file, symlink or its followers through saves and renames, within a round. */
export interface Piece {
  readonly label: string;
  /** Where it stood when the round began. */
  readonly startPath: string | undefined;
  readonly touchedBy: Set<string>;
  /** Changed bytes of the file itself, in place. */
  readonly writtenBy: Set<string>;
  /** Put another file in its place, or took it away. */
  readonly replacedBy: Set<string>;
  readonly removedBy: Set<string>;
  /** Where each device put it last, unless another one moved it on, knowing that. */
  readonly placedBy: Map<string, string>;
  readonly paths: Set<string>;
  /** It came back to a path: who knew what cannot be told from paths any more. */
  returned: boolean;
  readonly movedBy: Set<string>;
  /** Its bytes are another one's too, or something else than was seen was replaced at its path. */
  blurred: boolean;
  readonly name: Aspect;
  readonly parent: Aspect;
  readonly modeBy: Map<string, boolean>;
  readonly timeBy: Map<string, string>;
}

interface Required {
  readonly device: string;
  readonly path: string;
  readonly round: number;
}

/** Directories that are moved into one another have names without end. */
const VARIANTS_MAX = 64;

/** Label of a file that cannot be told from another one. */
const UNTOLD = "?";

/** Nobody can lose nothing. */
export const EMPTY = digestOf("");

export class ChaosLedger {
  readonly #known = new Set<string>([EMPTY]);
  readonly #required = new Map<string, Required>();
  /** Several pieces have these bytes: whose they are cannot be told. */
  readonly #ambiguous = new Set<string>();
  readonly #pieces = new Map<string, Piece>();
  readonly #blurred = new Set<string>();
  #placeEvents = new Map<string, Set<string>>();
  #aliases: (readonly [string, string])[] = [];
  /** Of directories, as users did them. */
  #renames: (readonly [string, string])[] = [];
  /** Labels of what stood at a path. */
  readonly #visitors = new Map<string, Set<string>>();
  /** Those of them that had a temporary name, or are new in the round. */
  readonly #saved = new Map<string, Set<string>>();
  readonly #variants = new Map<string, readonly string[]>();
  #journal: JournalLine[] = [];
  #startedMs = performance.now();
  #round = 0;
  #counter = 0;
  /** Faults after which devices or server join anew: what was moved or deleted may come back. */
  readonly rejoins = new Set<string>();
  /** What the harness saw that no program may do. */
  readonly suspicions: string[] = [];
  /** Times that something else stood there than was seen a moment before. */
  races = 0;

  /** @param start what all folders hold */
  beginRound(round: number, start: Snapshot): void {
    this.#round = round;
    this.#startedMs = performance.now();
    this.#ambiguous.clear();
    this.#pieces.clear();
    this.#blurred.clear();
    this.#blurred.add(UNTOLD);
    this.#placeEvents = new Map();
    this.#journal = [];
    this.#aliases = [];
    this.#renames = [];
    this.#visitors.clear();
    this.#saved.clear();
    this.#variants.clear();
    this.rejoins.clear();
    // Whatever is not there was excused in its round. Why it was cannot be told later.
    const present = contentsIn(start);
    for (const content of this.#required.keys()) {
      if (!present.has(content)) this.#required.delete(content);
    }
    for (const [path, what] of start) {
      const content = contentIn(what);
      if (content === undefined) continue;
      this.#own(content, this.#newPiece(path, path));
      this.#visitors.set(path, new Set([path]));
    }
  }

  get journal(): readonly JournalLine[] {
    return this.#journal;
  }

  note(
    device: string,
    what: string,
    paths: readonly string[] = [],
    pieces: readonly (Piece | undefined)[] = [],
  ): void {
    const atMs = Math.round(performance.now() - this.#startedMs);
    const names = pieces.flatMap((piece) => piece?.label ?? []);
    this.#journal.push({ atMs, device, what, paths, pieces: names });
  }

  /** True for bytes that were written anew: whoever gave up the former ones gave up these. */
  isOfSeveral(content: string): boolean {
    return this.#ambiguous.has(content);
  }

  /** @returns undefined where it belongs to none, or to several. */
  pieceOf(content: string | undefined): Piece | undefined {
    if (content === undefined || content === EMPTY || this.#ambiguous.has(content))
      return undefined;
    return this.#pieces.get(content);
  }

  newPiece(device: string): Piece {
    this.#counter += 1;
    return this.#newPiece(`new ${this.#counter} of ${device}`, undefined);
  }

  /** A file got its first bytes. Nothing tells it from other empty files, so it stays blurred. */
  filledPiece(device: string, path: string): Piece {
    const piece = this.newPiece(device);
    piece.paths.add(path);
    piece.touchedBy.add(device);
    addTo(this.#visitors, path, piece.label);
    this.#blur(piece);
    return piece;
  }

  /** A file has these bytes now. @param piece whose they are */
  holds(piece: Piece | undefined, content: string): void {
    this.#known.add(content);
    if (content !== EMPTY && piece !== undefined) this.#own(content, piece);
  }

  knows(content: string): boolean {
    return this.#known.has(content);
  }

  require(content: string, device: string, path: string): void {
    if (content !== EMPTY) this.#required.set(content, { device, path, round: this.#round });
  }

  requires(content: string): boolean {
    return this.#required.has(content);
  }

  /** A user replaced these bytes, or took them away, where he saw them. */
  giveUp(content: string | undefined): void {
    if (content !== undefined) this.#required.delete(content);
  }

  /**
   * RACE: something else stood at the path than was seen an instant before, and was replaced by an
   * ordinary call that cannot tell. Nobody could have kept it.
   */
  lostInRace(path: string): void {
    this.races += 1;
    for (const [content, required] of this.#required) {
      if (required.path === path) this.#required.delete(content);
    }
    for (const piece of this.#pieces.values()) {
      if (piece.paths.has(path)) this.#blur(piece);
    }
  }

  /** After the server lost the end of its log only what is on some disk can be asked for. */
  requireOnly(onDisks: ReadonlySet<string>): number {
    let count = 0;
    for (const content of [...this.#required.keys()]) {
      if (onDisks.has(content)) continue;
      this.#required.delete(content);
      count += 1;
    }
    return count;
  }

  /** @returns what is required and is not among these. */
  missing(present: ReadonlySet<string>): readonly (Required & { readonly content: string })[] {
    return [...this.#required]
      .filter(([content]) => !present.has(content))
      .map(([content, required]) => ({ content, ...required }));
  }

  /**
   * True where something else stood at one of the piece's paths: another file there is the same one
   * after a save, as far as a client can tell.
   */
  hasMetOthers(piece: Piece): boolean {
    return this.#hasOthers(this.#visitors, piece);
  }

  /**
   * True where a client may take another file for the piece's next version, or the piece for that
   * of another file (A15).
   */
  maySeemSavedOver(piece: Piece): boolean {
    return this.#hasOthers(this.#saved, piece) || this.#hasOthers(this.#savedOver(piece), piece);
  }

  /** Labels of what stood where the piece came though it had a temporary name, or was new. */
  #savedOver(piece: Piece): ReadonlyMap<string, ReadonlySet<string>> {
    const isSaved = (path: string) => this.#saved.get(path)?.has(piece.label) === true;
    return new Map([...this.#visitors].filter(([path]) => isSaved(path)));
  }

  #hasOthers(labels: ReadonlyMap<string, ReadonlySet<string>>, piece: Piece): boolean {
    return [...piece.paths].some((path) =>
      this.#variantsOf(path).some((variant) =>
        [...(labels.get(variant) ?? [])].some((label) => label !== piece.label),
      ),
    );
  }

  /** Pieces to which different people may have given this name and this directory. */
  mayMeetAt(path: string): readonly Piece[] {
    return [...this.pieces].filter(
      ({ name, parent }) => name.values.has(nameOf(path)) && parent.values.has(parentOf(path)),
    );
  }

  /** True where what stood there cannot be told from something else. */
  isBlurredAt(path: string): boolean {
    const labels = this.#variantsOf(path).flatMap((one) => [...(this.#visitors.get(one) ?? [])]);
    return labels.some((label) => this.#blurred.has(label));
  }

  /** Something came to that path, or left it, by this device's user. */
  placeEvent(device: string, path: string): void {
    addTo(this.#placeEvents, path, device);
  }

  /**
   * One directory by two names: what was done below one of them was done below the other. One's
   * name and another's directory for it make a third (R6).
   */
  renamedDirectory(from: string, to: string): void {
    const names = [to];
    for (const [other, also] of this.#renames) {
      if (other === from) names.push(under(parentOf(to), also), under(parentOf(also), to));
    }
    this.#renames.push([from, to]);
    for (const name of names) this.#aliases.push([from, name], [name, from]);
    this.#variants.clear();
  }

  /** Whose users changed what stands at this path, or what it lies in, under whatever name. */
  devicesAbove(path: string): ReadonlySet<string> {
    const found = new Set<string>();
    for (const variant of this.#variantsOf(path)) {
      for (let at = variant; at !== ""; at = parentOf(at)) {
        for (const device of this.#placeEvents.get(at) ?? []) found.add(device);
      }
    }
    return found;
  }

  /** Whose users changed what stands below this path. */
  devicesBelow(path: string): ReadonlySet<string> {
    const found = new Set<string>();
    const variants = this.#variantsOf(path);
    for (const [at, devices] of this.#placeEvents) {
      if (!variants.some((variant) => at.startsWith(`${variant}/`))) continue;
      for (const device of devices) found.add(device);
    }
    return found;
  }

  /** Pieces that stood at this path at some time. */
  piecesAt(path: string): readonly Piece[] {
    const variants = this.#variantsOf(path);
    return [...this.pieces].filter((piece) => variants.some((variant) => piece.paths.has(variant)));
  }

  /** True where no directory above the path was renamed. */
  isSteady(path: string): boolean {
    return this.#variantsOf(path).length === 1;
  }

  /** The path under all names that the directories above it had. */
  #variantsOf(path: string): readonly string[] {
    const known = this.#variants.get(path);
    if (known !== undefined) return known;
    const found = new Set([path]);
    for (const variant of found) {
      if (found.size > VARIANTS_MAX) break;
      for (const [from, to] of this.#aliases) {
        const isInside = variant === from || variant.startsWith(`${from}/`);
        if (isInside) found.add(to + variant.slice(from.length));
      }
    }
    const variants = [...found];
    this.#variants.set(path, variants);
    return variants;
  }

  get touchedPaths(): readonly string[] {
    return [...this.#placeEvents.keys()];
  }

  get pieces(): ReadonlySet<Piece> {
    return new Set(this.#pieces.values());
  }

  /** The piece moved on this device's disk. @param from undefined for one that was made */
  placed(piece: Piece | undefined, device: string, from: string | undefined, to: string): void {
    const label = piece?.label ?? UNTOLD;
    addTo(this.#visitors, to, label);
    const start = piece?.startPath;
    if (start === undefined || looksTemporary(nameOf(start))) addTo(this.#saved, to, label);
    if (piece === undefined) return;
    piece.touchedBy.add(device);
    piece.movedBy.add(device);
    if (piece.paths.has(to)) piece.returned = true;
    piece.paths.add(to);
    for (const [other, path] of piece.placedBy) {
      if (path === from) piece.placedBy.delete(other);
    }
    piece.placedBy.set(device, to);
  }

  /** A user gave the piece itself a name or a directory, and did not only move what it lies in. */
  named(piece: Piece | undefined, device: string, from: string, to: string): void {
    if (piece === undefined) return;
    give(piece.name, device, nameOf(from), nameOf(to));
    give(piece.parent, device, parentOf(from), parentOf(to));
    // A copy of this round has the piece's bytes, but another file's name and directory.
    if (isCopy(from) && from !== piece.startPath) {
      piece.name.returned = true;
      piece.parent.returned = true;
    }
  }

  #newPiece(label: string, startPath: string | undefined): Piece {
    return {
      label,
      startPath,
      touchedBy: new Set(),
      writtenBy: new Set(),
      replacedBy: new Set(),
      removedBy: new Set(),
      placedBy: new Map(),
      paths: new Set(startPath === undefined ? [] : [startPath]),
      returned: false,
      movedBy: new Set(),
      blurred: false,
      name: { by: new Map(), values: new Set(), returned: false },
      parent: { by: new Map(), values: new Set(), returned: false },
      modeBy: new Map(),
      timeBy: new Map(),
    };
  }

  #blur(piece: Piece): void {
    piece.blurred = true;
    this.#blurred.add(piece.label);
  }

  #own(content: string, piece: Piece): void {
    if (content === EMPTY) return;
    const owner = this.#pieces.get(content);
    if (owner !== undefined && owner !== piece) {
      this.#ambiguous.add(content);
      this.#blur(owner);
      this.#blur(piece);
    }
    this.#pieces.set(content, piece);
    this.#known.add(content);
  }
}

function addTo(sets: Map<string, Set<string>>, key: string, value: string): void {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else set.add(value);
}

function give(aspect: Aspect, device: string, from: string, to: string): void {
  if (from === to) return;
  aspect.values.add(from);
  if (aspect.values.has(to)) aspect.returned = true;
  aspect.values.add(to);
  for (const [other, value] of aspect.by) if (value === from) aspect.by.delete(other);
  aspect.by.set(device, to);
}

/** The path's name in another directory. */
function under(directory: string, path: string): string {
  return directory === "" ? nameOf(path) : `${directory}/${nameOf(path)}`;
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
