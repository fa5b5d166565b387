/**
 * From what a person asks for to how each node is to be. Rules: E9-E11, E15, U7. Only the log up to
 * the plan's head is read, so that the same request is the same plan at any later time, unless
 * bytes that it needs were let go meanwhile.
 */
import { SyncedError } from "../core/error.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import { type DeviceId, type FolderName, type NodeId, ROOT_ID } from "../core/identifier.ts";
import { EVENTS_PER_PAGE_MAX, NAME_BYTES_MAX, PLAN_STEPS_MAX } from "../core/limits.ts";
import type { Place, RemoteNode, Sequence } from "../core/node.ts";
import { baseName, isWithin, parentPath, utf8LengthBytes } from "../core/path.ts";
import { copyId } from "../core/plan-id.ts";
import { restoredState } from "../core/plan-restore.ts";
import { type IsUndone, isEnough, undoneState } from "../core/plan-undo.ts";
import type { Overlap, Wanted } from "../core/wanted-tree.ts";
import type { SequenceRange, Span } from "../ports/history-store.ts";
import type { PlanRequest } from "../protocol/plan-messages.ts";
import { changedNodes } from "./diff.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { isGone } from "./path-reads.ts";
import { PlanTreeAt } from "./plan-tree.ts";
import { revertedEvents } from "./reverted-events.ts";

export interface Wishes {
  readonly wanted: Map<NodeId, Wanted>;
  readonly overlaps: Overlap[];
  /** Whose work is taken back, if that is what was asked for. */
  readonly undone?: ReadonlySet<DeviceId>;
}

type Of<Kind extends PlanRequest["kind"]> = Extract<PlanRequest, { readonly kind: Kind }>;

/** Where a plan is made. `head` is an event that is folded. */
export interface PlanGround {
  readonly sources: PastSources;
  readonly folder: FolderName;
  readonly head: Pick<Cursor, "epoch" | "seq">;
}

/**
 * @throws {SyncedError} `not_found` if the request names something that is not there;
 * `cursor_ahead`; `plan_too_large`
 */
export async function wishesOf(ground: PlanGround, request: PlanRequest): Promise<Wishes> {
  const wishes = await askedOf(ground, request);
  await leaveOutGone(ground, wishes);
  return wishes;
}

async function askedOf(ground: PlanGround, request: PlanRequest): Promise<Wishes> {
  switch (request.kind) {
    case "restore":
      return await restoreWishes(ground, request);
    case "undo": {
      const { device, since, until = ground.head.seq, path = "" } = request;
      return await undoWishes(ground, {
        range: { after: since, upTo: until },
        path,
        isUndone: (event) => event.device === device && event.seq > since && event.seq <= until,
      });
    }
    case "revert": {
      const { first, last } = request;
      const isUndone = await revertedEvents(ground.sources, ground.folder, request);
      return await undoWishes(ground, {
        range: { after: first - 1, upTo: last },
        path: "",
        isUndone,
      });
    }
    case "delete":
      return await deleteWishes(ground, request);
    case "copy":
      return await copyWishes(ground, request);
    case "resolve":
      return await resolveWishes(ground, request);
  }
}

/** A version without bytes is listed. Its node keeps those that it has, or stays deleted. */
async function leaveOutGone(ground: PlanGround, { wanted, overlaps }: Wishes): Promise<void> {
  const { sources, folder, head } = ground;
  const tree = new PlanTreeAt(sources, folder, head.seq);
  for (const [id, wish] of wanted) {
    if (wish.kind !== "live" || wish.content.kind !== "file") continue;
    const now = await tree.node(id);
    if (!(await isGone(sources.metadata, folder, wish.content))) continue;
    overlaps.push({ node: id, why: "version_gone" });
    if (now === undefined || now.deleted) wanted.delete(id);
    else wanted.set(id, { ...wish, content: now.content });
  }
}

function beyond({ head }: PlanGround, seq: Sequence): SyncedError {
  const claim = `the plan is as of event ${head.seq}`;
  return new SyncedError("cursor_ahead", `Cannot use event ${seq}: ${claim}`);
}

/** Only nodes that differ between both moments are looked at, however large the directory is. */
async function restoreWishes(ground: PlanGround, request: Of<"restore">): Promise<Wishes> {
  const { sources, folder, head } = ground;
  const { history, metadata } = sources;
  const { path, at, keepLater } = request;
  if (at > head.seq) throw beyond(ground, at);
  const atThen = new PastPaths(history, folder, at);
  const top = path === "" ? undefined : await atThen.entryAt(path);
  if (path !== "" && top === undefined) {
    const claim = `nothing was there as of event ${at}`;
    throw new SyncedError("not_found", `Cannot restore "${path}": ${claim}`);
  }
  const scope = new RestoredScope(ground, { path, atThen });
  const tree = new PlanTreeAt(sources, folder, head.seq);
  const wanted = new Map<NodeId, Wanted>();
  const sides = await changedNodes(sources, folder, { from: at, to: head.seq });
  for (const [id, { before, after }] of sides) {
    const wasWithin = before !== undefined && isWithin(await atThen.pathOf(before), path);
    if (!wasWithin && (after === undefined || !(await scope.holds(after)))) continue;
    if (keepLater !== undefined && (await wasChangedByOthers(ground, { id, at, keepLater })))
      continue;
    const now = await tree.node(id);
    if (now === undefined) continue;
    const [then] = before === undefined ? [] : await metadata.eventsAt(folder, [before.from]);
    const state = restoredState(now, then && { ...then, isWithin: wasWithin });
    wanted.set(
      id,
      id === top?.node && state.kind === "live"
        ? { ...state, place: await homeOf(tree, state.place, { atThen, wanted }) }
        : state,
    );
    if (wanted.size > PLAN_STEPS_MAX) throw tooLarge();
  }
  return { wanted, overlaps: [] };
}

/**
 * Where an entry of then comes back: in its directory, wherever that is by now. If that was
 * deleted, in the one that has its path, or in itself, at the path that it had then; not below the
 * name that it had last.
 */
async function homeOf(
  tree: PlanTreeAt,
  place: Place,
  then: { readonly atThen: PastPaths; readonly wanted: Map<NodeId, Wanted> },
): Promise<Place> {
  const { parent, name } = place;
  const now = parent === ROOT_ID ? undefined : await tree.node(parent);
  const earlier = now?.deleted === true ? await then.atThen.nodeAt(parent) : undefined;
  if (now === undefined || earlier === undefined) return place;
  const above = await homeOf(tree, { parent: earlier.parent, name: earlier.name }, then);
  const successor = await tree.child(above);
  if (successor?.content.kind === "directory") return { parent: successor.id, name };
  then.wanted.set(parent, { kind: "live", place: above, content: now.content });
  return place;
}

/** The nodes of now that a restored directory has to do with. */
class RestoredScope {
  readonly #ground: PlanGround;
  readonly #path: string;
  readonly #atThen: PastPaths;
  readonly #atNow: PastPaths;
  /** By directory: whether what is below it now is in the scope. */
  readonly #directories = new Map<NodeId, boolean>();

  constructor(ground: PlanGround, then: { readonly path: string; readonly atThen: PastPaths }) {
    const { sources, folder, head } = ground;
    this.#ground = ground;
    this.#path = then.path;
    this.#atThen = then.atThen;
    this.#atNow = new PastPaths(sources.history, folder, head.seq);
    this.#directories.set(ROOT_ID, then.path === "");
  }

  /** True if it is at or below the path now, or in a directory that was then. */
  async holds(span: Span): Promise<boolean> {
    if (isWithin(await this.#atNow.pathOf(span), this.#path)) return true;
    return await this.#holdsWhatIsIn(span.parent);
  }

  async #holdsWhatIsIn(directory: NodeId): Promise<boolean> {
    const known = this.#directories.get(directory);
    if (known !== undefined) return known;
    const { sources, folder, head } = this.#ground;
    const then = await this.#atThen.nodeAt(directory);
    const wasWithin = then !== undefined && isWithin(await this.#atThen.pathOf(then), this.#path);
    const now = await sources.history.nodeAt(folder, directory, head.seq);
    const isIn = wasWithin || (now !== undefined && (await this.#holdsWhatIsIn(now.parent)));
    this.#directories.set(directory, isIn);
    return isIn;
  }
}

async function wasChangedByOthers(
  { sources, folder, head }: PlanGround,
  { id, at, keepLater }: { readonly id: NodeId; readonly at: Sequence; readonly keepLater: string },
): Promise<boolean> {
  for (let before = head.seq + 1; ; ) {
    const page = { node: id, before, limit: STEPS_PER_READ };
    const events = await sources.metadata.history(folder, page);
    if (events.some(({ seq, device }) => seq > at && device !== keepLater)) return true;
    const last = events.at(-1);
    if (last === undefined || events.length < STEPS_PER_READ || last.seq <= at) return false;
    before = last.seq;
  }
}

/** Enough for nearly every node at once. */
const STEPS_PER_READ = 20;

interface Undoing {
  readonly range: SequenceRange;
  readonly path: string;
  readonly isUndone: IsUndone;
}

async function undoWishes(ground: PlanGround, undoing: Undoing): Promise<Wishes> {
  const wanted = new Map<NodeId, Wanted>();
  const overlaps: Overlap[] = [];
  const { nodes, devices: undone } = await touchedNodes(ground, undoing);
  for (const id of nodes) {
    const steps = await stepsOf(ground, id, undoing.isUndone);
    const state = undoneState(steps, undoing.isUndone);
    if (state.wanted !== undefined) wanted.set(id, state.wanted);
    if (state.overlap !== undefined) overlaps.push(state.overlap);
  }
  return { wanted, overlaps, undone };
}

interface TouchedNodes {
  /** In the order of the log. */
  readonly nodes: ReadonlySet<NodeId>;
  readonly devices: ReadonlySet<DeviceId>;
}

/** The nodes of the undone events, and who did these. */
async function touchedNodes(ground: PlanGround, undoing: Undoing): Promise<TouchedNodes> {
  const { sources, folder, head } = ground;
  const { range, path, isUndone } = undoing;
  if (range.upTo > head.seq) throw beyond(ground, range.upTo);
  const nodes = new Set<NodeId>();
  const devices = new Set<DeviceId>();
  let after = Math.max(0, range.after);
  while (after < range.upTo) {
    const page = { after, limit: EVENTS_PER_PAGE_MAX };
    const { events } = await sources.metadata.events(folder, page);
    for (const event of events) {
      const isAsked = isWithin(event.path, path) || isWithin(event.from, path);
      if (!isAsked || !isUndone(event)) continue;
      nodes.add(event.node);
      devices.add(event.device);
    }
    if (nodes.size > PLAN_STEPS_MAX) throw tooLarge();
    after = events.at(-1)?.seq ?? range.upTo;
    await sources.clock.yield();
  }
  return { nodes, devices };
}

/** A node's events up to the head, newest first, as many as decide what is undone. */
async function stepsOf(
  { sources, folder, head }: PlanGround,
  node: NodeId,
  isUndone: IsUndone,
): Promise<readonly ServedEvent[]> {
  const steps: ServedEvent[] = [];
  for (let before = head.seq + 1; ; ) {
    const page = { node, before, limit: STEPS_PER_READ };
    const events = await sources.metadata.history(folder, page);
    for (const event of events) steps.push(event);
    const last = events.at(-1);
    if (last === undefined || events.length < STEPS_PER_READ) return steps;
    if (isEnough(steps, isUndone)) return steps;
    before = last.seq;
  }
}

function tooLarge(): SyncedError {
  const claim = `it has more than ${PLAN_STEPS_MAX} steps; take a directory at a time`;
  return new SyncedError("plan_too_large", `Cannot plan this: ${claim}`);
}

/** Everything at and below a node, top-down. */
async function subtree(tree: PlanTreeAt, top: RemoteNode): Promise<readonly RemoteNode[]> {
  const nodes = [top];
  for (let index = 0; index < nodes.length; index++) {
    const node = nodes[index];
    if (node?.content.kind !== "directory") continue;
    for (const child of await tree.children(node.id)) nodes.push(child);
    if (nodes.length > PLAN_STEPS_MAX) throw tooLarge();
  }
  return nodes;
}

async function deleteWishes(ground: PlanGround, { ids }: Of<"delete">): Promise<Wishes> {
  const tree = new PlanTreeAt(ground.sources, ground.folder, ground.head.seq);
  const wanted = new Map<NodeId, Wanted>();
  for (const id of ids) {
    const node = await tree.node(id);
    if (node === undefined || node.deleted) continue;
    for (const one of await subtree(tree, node)) wanted.set(one.id, { kind: "gone" });
    if (wanted.size > PLAN_STEPS_MAX) throw tooLarge();
  }
  return { wanted, overlaps: [] };
}

async function copyWishes(ground: PlanGround, request: Of<"copy">): Promise<Wishes> {
  const { sources, folder, head } = ground;
  const { path, at, to } = request;
  if (at > head.seq) throw beyond(ground, at);
  const entry = await new PastPaths(sources.history, folder, at).entryAt(path);
  const above = await new PastPaths(sources.history, folder, head.seq).directoryAt(parentPath(to));
  const then = new PlanTreeAt(sources, folder, at);
  const top = entry === undefined ? undefined : await then.node(entry.node);
  if (top === undefined) {
    throw new SyncedError("not_found", `Cannot copy "${path}": nothing was there as of ${at}`);
  }
  const text = JSON.stringify(request);
  const wanted = new Map<NodeId, Wanted>();
  const overlaps: Overlap[] = [];
  for (const { id, parent, name, content } of await subtree(then, top)) {
    if (content.kind === "file" && (await isGone(sources.metadata, folder, content))) {
      overlaps.push({ node: id, why: "version_gone" });
      continue;
    }
    const place =
      id === top.id
        ? { parent: above, name: baseName(to) }
        : { parent: copyId(text, head, parent), name };
    wanted.set(copyId(text, head, id), { kind: "live", place, content });
  }
  return { wanted, overlaps };
}

async function resolveWishes(ground: PlanGround, request: Of<"resolve">): Promise<Wishes> {
  const { sources, folder, head } = ground;
  const { keep } = request;
  const tree = new PlanTreeAt(sources, folder, head.seq);
  const copy = await tree.node(request.copy);
  const origin = await conflictOrigin(ground, request.copy);
  if (copy === undefined || copy.deleted || origin === undefined) {
    const claim = "it is no conflict copy, or gone";
    throw new SyncedError("not_found", `Cannot resolve ${request.copy}: ${claim}`);
  }
  const original = await tree.node(origin);
  const wanted = new Map<NodeId, Wanted>();
  if (keep === "both") {
    const name = await freeName(tree, copy, original?.name ?? copy.name);
    const place = { parent: copy.parent, name };
    wanted.set(copy.id, { kind: "live", place, content: copy.content });
    return { wanted, overlaps: [] };
  }
  const isThere = original !== undefined && !original.deleted;
  if (!isThere || original.content.kind !== copy.content.kind) {
    if (keep === "original") {
      wanted.set(copy.id, { kind: "gone" });
      return { wanted, overlaps: [] };
    }
    const claim = "what it is a copy of is gone; keep both, which gives it a name";
    throw new SyncedError("node_missing", `Cannot keep the copy in its place: ${claim}`);
  }
  if (keep === "copy") {
    const { parent, name } = original;
    wanted.set(original.id, { kind: "live", place: { parent, name }, content: copy.content });
  }
  wanted.set(copy.id, { kind: "gone" });
  return { wanted, overlaps: [] };
}

/** The node that a conflict copy lost against. */
export async function conflictOrigin(
  { sources, folder, head }: PlanGround,
  copy: NodeId,
): Promise<NodeId | undefined> {
  for (let before = head.seq + 1; ; ) {
    const page = { node: copy, before, limit: STEPS_PER_READ };
    const events = await sources.metadata.history(folder, page);
    const made = events.find(({ conflictOf }) => conflictOf !== undefined);
    if (made !== undefined) return made.conflictOf?.node;
    const last = events.at(-1);
    if (last === undefined || events.length < STEPS_PER_READ) return undefined;
    before = last.seq;
  }
}

/** The original's name with a number, as people number copies. */
async function freeName(tree: PlanTreeAt, copy: RemoteNode, name: string): Promise<string> {
  const dot = name.lastIndexOf(".");
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ""];
  for (let number = 2; number < FREE_NUMBERS_MAX; number++) {
    const numbered = `${stem} ${number}${extension}`;
    if (utf8LengthBytes(numbered) > NAME_BYTES_MAX) break;
    const other = await tree.child({ parent: copy.parent, name: numbered });
    if (other === undefined) return numbered;
  }
  throw new SyncedError("name_taken", `Cannot find a free name for "${name}": rename the copy`);
}

const FREE_NUMBERS_MAX = 1000;
