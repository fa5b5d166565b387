/**
 * The laws of a round, which began with all folders equal and ended with all folders equal:
 * whatever a user wrote, named or set, and no user has since replaced knowing it, is in the present
 * tree, or in a conflict copy; and nothing else happened. Rules: I2, I5, I6, I9, R3-R9.
 *
 * Excuses, all of them:
 * - Where a device or the server joined anew in the round (state lost or rolled back, server
 *   restored from an older copy), what was moved, deleted or set may come back as it was, and
 *   copies may be made of what two sides hold differently. What nobody touched, since the server's
 *   copy was made, is never excused, nor are bytes, but those that only the lost part of a log held
 *   and no disk has.
 * - Where the hand that acted saw another file than the one that it then replaced (the client was
 *   quicker by less than a system call), nobody knows what it replaced.
 * - Bytes that several files have (archives that were unpacked twice, empty files) tell no file
 *   from another.
 * - Of one file in a quarrel a device keeps one copy; the history has its earlier losers (R19). Of
 *   copies that are older than the round nobody can say whether it was one file.
 * - Where a file that nobody else knew, or with a temporary name, came to a file's path, a client
 *   may take it for the next version of that, whose mode and time then go (A15, R5).
 * - One person's name and another's directory may make a place that a third one chose (R6).
 */
import type { Snapshot } from "../scenarios/snapshot.ts";
import {
  type Aspect,
  type ChaosLedger,
  EMPTY,
  nameOf,
  type Piece,
  parentOf,
} from "./chaos-ledger.ts";
import {
  contentIn,
  contentsIn,
  DIRECTORY,
  isCopy,
  isExecutableIn,
  timeIn,
} from "./chaos-snapshot.ts";

/** What a round began and ended with. */
export interface Round {
  readonly ledger: ChaosLedger;
  readonly start: Snapshot;
  /** Each device's folder when its users had stopped. */
  readonly stopped: ReadonlyMap<string, Snapshot>;
  /** What all folders hold now. */
  readonly end: Snapshot;
  /** Contents of conflict copies that a later loser replaced, each with what came. */
  readonly earlierLosers: ReadonlyMap<string, string>;
  /** What all folders held when the copy was made from which the server was restored. */
  readonly restoredTo?: Snapshot | undefined;
}

export interface Violation {
  readonly what: string;
  /** Whose story the journal tells. */
  readonly paths: readonly string[];
  readonly pieces: readonly (Piece | undefined)[];
}

export function violationsOf(round: Round): readonly Violation[] {
  const laws = [lostBytes, inventedBytes, touchedByNobody, needlessCopies, doubled];
  const found = laws.flatMap((law) => law(round));
  if (round.ledger.rejoins.size > 0) return found;
  return [
    ...found,
    ...undoneOfOne(round),
    ...undonePlaces(round),
    ...undoneNames(round),
    ...undoneMetadata(round),
  ];
}

function lostBytes(round: Round): Violation[] {
  const { ledger, start, stopped, end } = round;
  const folders = [["all", start] as const, ...stopped];
  const missing = ledger
    .missing(contentsIn(end))
    .filter(({ content }) => !isInCopy(round, content) && !ledger.isOfSeveral(content));
  return missing.map(({ content, device, path, round }) => {
    const places = folders.flatMap(([name, tree]) => placesOf(content, tree, name));
    const wrote = `${content.slice(0, 8)}, which ${device} wrote to ${path} in round ${round}`;
    return {
      what: `lost: ${wrote}; it was at ${places.map((place) => place.join(": ")).join(", ")}`,
      paths: [path, ...places.map(([, at]) => at)],
      pieces: [ledger.pieceOf(content)],
    };
  });
}

function placesOf(content: string, tree: Snapshot, name: string): (readonly [string, string])[] {
  return [...tree].flatMap(([path, what]) =>
    contentIn(what) === content ? [[name, path] as const] : [],
  );
}

/** True for an earlier loser of a quarrel, which is in its copy's history (R19). */
function isInCopy({ ledger, earlierLosers }: Round, content: string): boolean {
  const next = earlierLosers.get(content);
  if (next === undefined) return false;
  const [piece, later] = [ledger.pieceOf(content), ledger.pieceOf(next)];
  if (piece === undefined || later === undefined || piece === later) return true;
  return piece.startPath !== undefined && isCopy(piece.startPath);
}

function inventedBytes({ ledger, end }: Round): Violation[] {
  return [...end].flatMap(([path, what]) => {
    const content = contentIn(what);
    if (content === undefined || ledger.knows(content)) return [];
    return [
      {
        what: `invented: ${path} holds ${content.slice(0, 8)}, written by nobody`,
        paths: [path],
        pieces: [],
      },
    ];
  });
}

/** True where the server's copy has something else there than the round began with. */
function isOtherInCopy({ restoredTo, start }: Round, path: string | undefined): boolean {
  if (restoredTo === undefined || path === undefined) return false;
  return restoredTo.get(path) !== start.get(path);
}

/** What no user touched is as it was, and nothing came to where no user was. */
function touchedByNobody(round: Round): Violation[] {
  const { ledger, start, end } = round;
  const found: Violation[] = [];
  for (const path of new Set([...start.keys(), ...end.keys()])) {
    const [was, is] = [start.get(path), end.get(path)];
    if (was === is || ledger.devicesAbove(path).size > 0) continue;
    const content = contentIn(was ?? is);
    if (content !== undefined && isInCopy(round, content)) continue;
    const piece = ledger.pieceOf(content);
    if (isOtherInCopy(round, path) || isOtherInCopy(round, piece?.startPath)) continue;
    const isOpen = piece === undefined || piece.touchedBy.size > 0;
    // What several files hold, and what somebody wrote to, only has to be there. Two people's new
    // name and new directory for one thing are a path that neither knows.
    if (isOpen && (was === undefined || (is !== undefined && was !== DIRECTORY))) continue;
    found.push({
      what: `untouched, but not as it was: ${path}: ${was ?? "absent"} | ${is ?? "absent"}`,
      paths: [path],
      pieces: [piece],
    });
  }
  return found;
}

/** A copy is made only of what two people changed. */
function needlessCopies(round: Round): Violation[] {
  const { ledger, start, end } = round;
  const found: Violation[] = [];
  const users = namesIn([...start.keys(), ...ledger.touchedPaths]);
  for (const [path, what] of end) {
    const piece = ledger.pieceOf(contentIn(what));
    if (!isNewCopy(path, users) || piece === undefined) continue;
    if (isOtherInCopy(round, piece.startPath)) continue;
    // A copy that its client gave its next loser (R19), while a user wrote to it.
    const was = contentIn(piece.startPath === undefined ? undefined : start.get(piece.startPath));
    if (was !== undefined && isInCopy(round, was)) continue;
    const isTouched = piece.touchedBy.size > 0;
    // One wrote to it while another one put there what only he knew (A15).
    if (isTouched && ledger.maySeemSavedOver(piece)) continue;
    if (isTouched && (ledger.rejoins.size > 0 || mayClash(ledger, piece))) continue;
    // It was renamed over one of several files with the same bytes: who changed that is not told.
    const met = [...piece.paths].map((at) => contentIn(start.get(at)));
    if (met.some((content) => content !== undefined && ledger.isOfSeveral(content))) continue;
    found.push({
      what: `needless copy: ${path} of ${piece.label}, which nobody else changed`,
      paths: [path],
      pieces: [piece],
    });
  }
  return found;
}

function namesIn(paths: readonly string[]): ReadonlySet<string> {
  return new Set(paths.flatMap((path) => path.split("/")));
}

/** @param users names that users knew: copies that were made before are files like any other. */
function isNewCopy(path: string, users: ReadonlySet<string>): boolean {
  return path.split("/").some((name) => isCopy(name) && !users.has(name));
}

/** True where several devices changed its bytes, or what stands at one of its paths. */
function mayClash(ledger: ChaosLedger, piece: Piece): boolean {
  const writers = new Set([...piece.writtenBy, ...piece.replacedBy, ...piece.removedBy]);
  if (writers.size > 1 || piece.blurred) return true;
  return [...piece.paths].some((path) => contendersOf(ledger, path, piece).size > 1);
}

/** Devices that changed names there or above, or another piece that stood there or above. */
function contendersOf(ledger: ChaosLedger, path: string, piece?: Piece): ReadonlySet<string> {
  const found = new Set(ledger.devicesAbove(path));
  for (const other of ledger.mayMeetAt(path)) {
    if (other !== piece) for (const device of other.touchedBy) found.add(device);
  }
  for (let at = path; at !== ""; at = parentOf(at)) {
    for (const other of ledger.piecesAt(at)) {
      if (other !== piece) for (const device of other.touchedBy) found.add(device);
    }
  }
  return found;
}

/** What nobody else touched is not there once more. */
function doubled({ ledger, stopped, end }: Round): Violation[] {
  if (ledger.rejoins.size > 0) return [];
  const places = new Map<Piece, string[]>();
  for (const [path, what] of end) {
    const piece = ledger.pieceOf(contentIn(what));
    if (piece !== undefined) places.set(piece, [...(places.get(piece) ?? []), path]);
  }
  const found: Violation[] = [];
  for (const [piece, paths] of places) {
    const [author, ...others] = piece.touchedBy;
    if (author === undefined || others.length > 0 || mayClash(ledger, piece)) continue;
    if (paths.length < 2 || paths.every((path) => stopped.get(author)?.has(path))) continue;
    found.push({ what: `doubled: ${piece.label}: ${paths.join(" and ")}`, paths, pieces: [piece] });
  }
  return found;
}

/**
 * Where one person alone worked, what stood there when he stopped is what stands there in the end:
 * kinds, bytes, modes, times, names, and that it is gone.
 */
function undoneOfOne(round: Round): Violation[] {
  const { ledger, start, stopped, end } = round;
  const found: Violation[] = [];
  const paths = new Set(ledger.touchedPaths);
  for (const piece of ledger.pieces)
    if (piece.touchedBy.size > 0) for (const path of piece.paths) paths.add(path);
  for (const path of paths) {
    const device = authorOf(ledger, path);
    if (device === undefined) continue;
    const [was, meant] = [start.get(path), stopped.get(device)?.get(path)];
    const pieces = [was, meant].map((what) => ledger.pieceOf(contentIn(what)));
    const isSole = pieces.every((piece) => piece === undefined || isOf(ledger, piece, device));
    const isTold = [was, meant].every((what, index) => isTellable(what, pieces[index]));
    const is = end.get(path);
    if (!isSole || !isTold || is === meant || ledger.isBlurredAt(path)) continue;
    const contents = [was, meant].map(contentIn);
    if (contents.some((content) => content !== undefined && isInCopy(round, content))) continue;
    // It lives while something beneath it lives (R8), and that is judged by itself.
    if (is === DIRECTORY && [...end.keys()].some((below) => below.startsWith(`${path}/`))) continue;
    found.push({
      what: `undone at ${path}: ${device} alone left ${meant ?? "nothing"}, and there is ${is ?? "nothing"}`,
      paths: [path],
      pieces,
    });
  }
  return found;
}

function isTellable(what: string | undefined, piece: Piece | undefined): boolean {
  return what === undefined || what === DIRECTORY || piece !== undefined;
}

/** @returns the one device whose users changed names at, above and below the path. */
function authorOf(ledger: ChaosLedger, path: string): string | undefined {
  const devices = new Set([...contendersOf(ledger, path), ...ledger.devicesBelow(path)]);
  const [device, ...others] = devices;
  return others.length === 0 ? device : undefined;
}

/** True where nobody else touched it, or what stood where it was. */
function isOf(ledger: ChaosLedger, piece: Piece, device: string): boolean {
  if (piece.blurred || [...piece.touchedBy].some((other) => other !== device)) return false;
  return [...piece.paths].every((path) => authorOf(ledger, path) === device);
}

/** A name that one person gave stays, whatever others did to the bytes, mode and time. */
function undonePlaces({ ledger, stopped, end }: Round): Violation[] {
  const found: Violation[] = [];
  for (const piece of ledger.pieces) {
    const [place, ...others] = piece.placedBy;
    if (place === undefined || others.length > 0 || isReplaced(piece) || piece.blurred) continue;
    if (piece.returned && piece.movedBy.size > 1) continue;
    const [device, path] = place;
    // What one person alone did is judged as a whole. While a file is empty it cannot be followed.
    if (piece.touchedBy.size < 2 || stopped.get(device)?.has(path) !== true) continue;
    const around = [path, piece.startPath ?? ""].flatMap((at) => [
      ...contendersOf(ledger, at, piece),
    ]);
    if (around.some((other) => other !== device)) continue;
    const content = contentIn(end.get(path));
    if (content === EMPTY || ledger.pieceOf(content) === piece) continue;
    found.push({
      what: `name undone: ${device} put ${piece.label} at ${path}; there is ${end.get(path) ?? "nothing"}`,
      paths: [path],
      pieces: [piece],
    });
  }
  return found;
}

/** The name that one person gave and the directory that another one chose are both kept. */
function undoneNames({ ledger, start, end }: Round): Violation[] {
  const found: Violation[] = [];
  const users = namesIn([...start.keys(), ...ledger.touchedPaths]);
  for (const [path, what] of end) {
    const piece = ledger.pieceOf(contentIn(what));
    if (piece === undefined || isReplaced(piece) || piece.blurred) continue;
    if (piece.touchedBy.size < 2 || isNewCopy(path, users)) continue;
    // Nobody loses a name for a place that nobody chose, and that another file has.
    if (ledger.hasMetOthers(piece)) continue;
    const name = givenByOne(piece.name);
    const parent = givenByOne(piece.parent);
    const isNamed = name === undefined || name === nameOf(path);
    const isThere = parent === undefined || parent === parentOf(path) || !ledger.isSteady(parent);
    if (isNamed && isThere) continue;
    const chosen = `${parent ?? parentOf(path)}/${name ?? nameOf(path)}`;
    if (end.has(chosen.replace(/^\//, ""))) continue;
    found.push({
      what: `name undone: ${piece.label} was put at ${parent ?? "*"}/${name ?? "*"}, and is at ${path}`,
      paths: [path],
      pieces: [piece],
    });
  }
  return found;
}

function givenByOne({ by, returned }: Aspect): string | undefined {
  const [value, ...others] = by.values();
  return returned || others.length > 0 ? undefined : value;
}

function isReplaced(piece: Piece): boolean {
  return piece.replacedBy.size > 0 || piece.removedBy.size > 0;
}

/** A mode or a time that one person set stays, whatever others did to the bytes and the name. */
function undoneMetadata({ ledger, end }: Round): Violation[] {
  const found: Violation[] = [];
  for (const [path, what] of end) {
    const piece = ledger.pieceOf(contentIn(what));
    if (piece === undefined || isReplaced(piece) || isCopy(path)) continue;
    if (ledger.maySeemSavedOver(piece)) continue;
    const [mode, ...otherModes] = piece.modeBy;
    if (mode !== undefined && otherModes.length === 0 && isExecutableIn(what) !== mode[1]) {
      found.push({
        what: `mode undone: ${mode[0]} set ${mode[1] ? "+x" : "-x"} on ${piece.label}, now ${path}`,
        paths: [path],
        pieces: [piece],
      });
    }
    const [time, ...otherTimes] = piece.timeBy;
    if (time === undefined || otherTimes.length > 0 || piece.writtenBy.size > 0) continue;
    if (timeIn(what) === time[1]) continue;
    found.push({
      what: `time undone: ${time[0]} set ${time[1]} on ${piece.label}, now ${path}: ${what}`,
      paths: [path],
      pieces: [piece],
    });
  }
  return found;
}
