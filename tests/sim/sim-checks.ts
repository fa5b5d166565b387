/**
 * What must hold at the end of a run, and what must never be broken on the way. Rules: I1, I2, I5,
 * I24, I25, I27.
 */

import { eventHash } from "../../src/core/canonical.ts";
import { type Digest, EMPTY_DIGEST, sha256 } from "../../src/core/digest.ts";
import type { ServedEvent } from "../../src/core/event.ts";
import { parseManifestObject } from "../../src/core/manifest.ts";
import type { FileContent } from "../../src/core/node.ts";
import { baseName } from "../../src/core/path.ts";
import { STATE_DIRECTORY } from "../../src/core/state-directory.ts";
import { MemoryTree, pathOf } from "../../src/core/tree.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import type { SimClient } from "./sim-client.ts";
import type { Seen } from "./sim-entries.ts";
import type { SimLedger } from "./sim-ledger.ts";
import type { SimLog, SimServerDisk } from "./sim-server-disk.ts";

/** Path to what is there, in one line. */
export type Snapshot = ReadonlyMap<string, string>;

export function snapshotDisk(client: SimClient, ledger: SimLedger): Snapshot {
  const found = new Map<string, string>();
  for (const [path, inode] of client.user.visible()) {
    switch (inode.kind) {
      case "file":
        found.set(
          path,
          fileLine(ledger.digest(inode.bytes), inode.executable, String(inode.mtimeNs)),
        );
        break;
      case "symlink":
        found.set(path, `-> ${inode.target}`);
        break;
      case "directory":
      case "other":
        found.set(path, inode.kind);
    }
  }
  return found;
}

export function snapshotLog(log: SimLog | undefined): Snapshot {
  const found = new Map<string, string>();
  if (log === undefined) return found;
  const live = [...log.nodes.values()].filter((node) => !node.deleted);
  const tree = new MemoryTree(live);
  for (const { id, content } of live) {
    const path = pathOf(tree, id) ?? `unreachable ${id}`;
    if (content.kind === "file")
      found.set(path, fileLine(content.sha256, content.executable, content.mtimeNs));
    else found.set(path, content.kind === "symlink" ? `-> ${content.target}` : content.kind);
  }
  return found;
}

function fileLine(digest: Digest, executable: boolean, mtimeNs: string): string {
  return `${digest} ${executable ? "x" : "-"} ${mtimeNs}`;
}

/**
 * What differs on a client's disk from the tree that it should hold. A folding disk cannot hold the
 * second of two twins: it is parked, a listed problem, with all below it, and stays where it was if
 * it was there before (F51, F52). So does what a third name would be needed for.
 */
export function differenceOn(client: SimClient, ledger: SimLedger, wanted: Snapshot) {
  const disk = snapshotDisk(client, ledger);
  const parked = parkedTwins(client, new Set([...wanted.keys(), ...disk.keys()]));
  const isParked = (line: string) => parked.some((path) => isAbout(line, path));
  const lines = difference(disk, wanted).filter((line) => !isParked(line));
  return { lines, parked: parked.length };
}

/** True for a line of `difference` about the path or what is below it. */
function isAbout(line: string, path: string): boolean {
  const quoted = JSON.stringify(path);
  return line.startsWith(`${quoted}:`) || line.startsWith(`${quoted.slice(0, -1)}/`);
}

/** @param paths of the server's tree and of the disk. */
function parkedTwins(client: SimClient, paths: ReadonlySet<string>): readonly string[] {
  const { fold, state } = client;
  const { store } = state;
  if (fold === undefined || store === undefined) return [];
  const problems = store.problems().filter(({ code }) => code === "name_collision");
  const twins = problems.map(({ path }) => {
    const isTwin = (other: string) => other !== path && fold(other) === fold(path);
    return [path, ...[...paths].filter(isTwin)];
  });
  return withBarred(store, twins.filter(({ length }) => length > 1).flat());
}

/** What waits for these paths: what belongs there, and directories that it would have to leave. */
function withBarred(store: StateStore, paths: readonly string[]): readonly string[] {
  const barred = new Set(paths);
  const isAtOrBelow = (path: string, above: string) =>
    path === above || path.startsWith(`${above}/`);
  for (let before = -1; before !== barred.size; ) {
    before = barred.size;
    for (const id of store.dirty()) {
      const to = pathOf(store.remote, id);
      const from = pathOf(store.local, id);
      const waits = [...barred].some((path) =>
        to === undefined ? from !== undefined && isAtOrBelow(path, from) : isAtOrBelow(to, path),
      );
      if (waits) for (const path of [to, from]) if (path !== undefined) barred.add(path);
    }
  }
  return [...barred];
}

/** @returns one line for each path that differs. */
export function difference(a: Snapshot, b: Snapshot): readonly string[] {
  const lines: string[] = [];
  for (const path of new Set([...a.keys(), ...b.keys()])) {
    const one = a.get(path);
    const two = b.get(path);
    if (one !== two) lines.push(`${JSON.stringify(path)}: ${one ?? "absent"} | ${two ?? "absent"}`);
  }
  return lines;
}

/** The server's tree, for SimEntries. */
export function seenInLog(log: SimLog | undefined): readonly Seen[] {
  const live = [...(log?.nodes.values() ?? [])].filter((node) => !node.deleted);
  const tree = new MemoryTree(live);
  return live.flatMap(({ id, content }): readonly Seen[] => {
    const path = pathOf(tree, id);
    if (path === undefined) return [];
    if (content.kind !== "file") return [{ path, kind: content.kind }];
    const { kind, sha256: digest, executable, mtimeNs } = content;
    return [{ path, kind, digest, executable, mtimeNs: BigInt(mtimeNs) }];
  });
}

/**
 * Contents that no user can see, neither on a disk nor in the server's tree, though nobody
 * destroyed them (I2). What was written to a displaced file may wait in quarantine.
 */
export function lostContents(
  ledger: SimLedger,
  clients: readonly SimClient[],
  log: SimLog | undefined,
  wasRestored: boolean,
): readonly string[] {
  const present = new Set<Digest>([EMPTY_DIGEST]);
  for (const { disk } of clients) {
    for (const [path, inode] of disk.walk()) {
      if (inode.kind !== "file") continue;
      const digest = ledger.digest(inode.bytes);
      if (!path.startsWith(`${STATE_DIRECTORY}/`) || ledger.isLate(digest)) present.add(digest);
    }
  }
  for (const { digest } of seenInLog(log)) if (digest !== undefined) present.add(digest);
  const events = log?.events.map(({ event }) => event) ?? [];
  for (const digest of earlierLosers(events, labelsOf(clients), wasRestored).keys())
    present.add(digest);
  return ledger.lost(present);
}

/** Visible contents that no user ever wrote (I5). */
export function inventedContents(
  ledger: SimLedger,
  clients: readonly SimClient[],
  log: SimLog | undefined,
): readonly string[] {
  const lines: string[] = [];
  const check = (digest: Digest, where: string) => {
    if (digest !== EMPTY_DIGEST && !ledger.knows(digest))
      lines.push(`${digest.slice(0, 8)} ${where}`);
  };
  for (const client of clients) {
    for (const [path, inode] of client.user.visible()) {
      if (inode.kind === "file") check(ledger.digest(inode.bytes), `on ${client.label} at ${path}`);
    }
  }
  for (const { event } of log?.events ?? []) {
    if (event.content.kind === "file") check(event.content.sha256, `in event ${event.seq}`);
  }
  return lines;
}

/**
 * A device keeps one conflict copy of a quarrel: later losers become its next versions (R19). What
 * it replaces is bytes of which a copy's name tells that the same device made it of them, whoever
 * gave the copy back to a restored server, and never a file that was in the log before it got such
 * a name (R20). Where a server was restored, another one may also have given back the next version,
 * or what a user made of that; then the new name tells who replaced them.
 *
 * @returns by the bytes that were replaced those that came.
 */
export function earlierLosers(
  events: Iterable<Pick<ServedEvent, "kind" | "node" | "path" | "device" | "content">>,
  labels: ReadonlyMap<string | undefined, string>,
  wasRestored = false,
): ReadonlyMap<Digest, Digest> {
  const found = new Map<Digest, Digest>();
  const nodes = new Map<string, { bytes: Digest; readonly copies: Map<Digest, string> }>();
  const others = new Set<string>();
  for (const { kind, node, path, device, content } of events) {
    if (content.kind !== "file" || others.has(node)) continue;
    const isNew = !nodes.has(node);
    const known = nodes.get(node) ?? { bytes: content.sha256, copies: new Map() };
    nodes.set(node, known);
    const maker = known.copies.get(known.bytes);
    // Its user may have deleted the next version before the server heard of it.
    const isReplaced = known.bytes !== content.sha256 || kind === "delete";
    const [, label, hash6] = COPY.exec(baseName(path)) ?? [];
    if (isNew && label === undefined && !wasRestored) others.add(node);
    const isNext = wasRestored && label === maker && hash6 !== known.bytes.slice(0, 6);
    const isOwn = maker === labels.get(device);
    if (isReplaced && maker !== undefined && (isOwn || isNext))
      found.set(known.bytes, content.sha256);
    known.bytes = content.sha256;
    if (label !== undefined && hash6 === content.sha256.slice(0, 6))
      known.copies.set(content.sha256, label);
  }
  return found;
}

/** The last mark is of the copy's own bytes, where it is a copy of a copy. */
const COPY = /.*\(conflict (\w+) \d{4}-\d\d-\d\d ([0-9a-f]{6})\)/;

function labelsOf(clients: readonly SimClient[]): ReadonlyMap<string | undefined, string> {
  return new Map(clients.map(({ device, label }) => [device, label]));
}

/**
 * Conflict copies that a device made of what its user wrote, for the sake of what the same user
 * wrote (Y17). Only of use where no device forgot what it had done.
 */
export function selfConflicts(
  ledger: SimLedger,
  clients: readonly SimClient[],
  log: SimLog | undefined,
): readonly string[] {
  const lines: string[] = [];
  const labels = labelsOf(clients.filter(({ wasTorn }) => !wasTorn));
  const writerOf = ({ content }: ServedEvent) =>
    content.kind === "file" ? ledger.writerOf(content.sha256) : undefined;
  for (const { event } of log?.events ?? []) {
    const { conflictOf, path, device } = event;
    if (conflictOf === undefined || event.kind !== "create") continue;
    const winner = log?.events[conflictOf.version - 1]?.event;
    const writer = labels.get(device);
    if (writer === undefined || winner?.node !== conflictOf.node) continue;
    // Another device gave the winner its place, or these bytes their metadata, whatever came later:
    // that is what it lost against.
    const story = log?.events.slice(0, event.seq).map((one) => one.event) ?? [];
    const own = story.filter(({ node }) => node === conflictOf.node);
    const placedAt = own.findLast(({ kind }) => kind !== "modify")?.seq ?? 0;
    const since = Math.min(placedAt, conflictOf.version);
    const isOthers = own.some((one) => one.seq >= since && one.device !== device);
    if (isOthers) continue;
    if (writerOf(event) === writer && writerOf(winner) === writer)
      lines.push(`${path} of ${writer} against event ${conflictOf.version}`);
  }
  return lines;
}

/** The log is gapless and chained, and every content in it can be read (I24, I25, I27). */
export function logDamage(log: SimLog | undefined, disk: SimServerDisk): readonly string[] {
  const lines: string[] = [];
  if (log === undefined) return lines;
  let hash = log.record.genesis;
  const sound = new Set<Digest>();
  for (const [index, { event }] of log.events.entries()) {
    if (event.seq !== index + 1) lines.push(`event ${event.seq} stands at ${index + 1}`);
    if (event.previousHash !== hash || eventHash(hash, event) !== event.hash) {
      lines.push(`event ${event.seq} is not chained`);
    }
    hash = event.hash;
    const { content } = event;
    if (content.kind !== "file" || sound.has(content.sha256)) continue;
    if (isReadable(content, disk)) sound.add(content.sha256);
    else lines.push(`the content of event ${event.seq} cannot be read`);
  }
  return lines;
}

function isReadable(content: FileContent, disk: SimServerDisk): boolean {
  if (content.size === 0) return content.sha256 === EMPTY_DIGEST;
  const parts: Uint8Array[] = [];
  const collect = (digest: Digest, depth: number): boolean => {
    const bytes = disk.objects.get(digest);
    if (bytes === undefined) return false;
    if (depth === 0) {
      parts.push(bytes);
      return true;
    }
    return parseManifestObject(bytes).children.every((child) => collect(child.digest, depth - 1));
  };
  if (!collect(content.manifest, content.depth)) return false;
  return sha256(Buffer.concat(parts)) === content.sha256;
}
