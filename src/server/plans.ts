/**
 * Plans: shown as of one event, then done exactly so. Rules: E9-E11, G4, O1.
 *
 * No plan is stored. Whoever asks for the same as of the same event gets the same ops with the same
 * ids, also after a restart, so that a plan which was half done goes on where it ended. If bytes
 * that it needs were let go meanwhile (U7), it is another plan.
 */
import { acceptedOp } from "../core/accept.ts";
import { opBodyDigest } from "../core/canonical.ts";
import type { Digest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { Cursor, ServedEvent } from "../core/event.ts";
import type { DeviceId, FolderName, NodeId, OpId } from "../core/identifier.ts";
import { OPS_PER_BATCH_MAX } from "../core/limits.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import { type Group, type Op, setsPlace } from "../core/op.ts";
import { type IdentifiedPlan, identifyPlan, type PlanId, planBatchId } from "../core/plan-id.ts";
import { type Overlap, settleWanted } from "../core/wanted-tree.ts";
import type {
  PlanAnswer,
  PlanApplication,
  PlanOverlap,
  PlanRequest,
  PlanResult,
} from "../protocol/plan-messages.ts";
import { type DeviceNames, readDeviceNames } from "./device-names.ts";
import { PastPaths } from "./past-paths.ts";
import type { PastSources } from "./past-sources.ts";
import { headOf } from "./path-reads.ts";
import { laterWork, stepsAndSummary } from "./plan-steps.ts";
import { PlanTreeAt } from "./plan-tree.ts";
import { type PlanGround, wishesOf } from "./plan-wishes.ts";
import type { Sequencer } from "./sequencer.ts";

export interface PlanSources extends PastSources {
  readonly sequencer: Pick<Sequencer, "commit">;
}

interface Page {
  readonly offset: number;
  readonly limit: number;
}

export interface PlanQuestion extends Page {
  readonly request: PlanRequest;
  /** Who asks: its own later work is not that of others. */
  readonly device?: DeviceId | undefined;
}

interface Made extends IdentifiedPlan {
  readonly ground: PlanGround;
  readonly overlaps: readonly Overlap[];
}

/** The plan as of now; nothing is done. */
export async function showPlan(
  sources: PlanSources,
  folder: FolderName,
  { request, device, offset, limit }: PlanQuestion,
): Promise<PlanAnswer> {
  const made = await makePlan(sources, folder, request);
  const { id, ground, groups } = made;
  const { seq: head } = ground.head;
  const names = await readDeviceNames(sources.metadata, folder);
  const { summary, steps, total } = await stepsAndSummary(ground, groups, { offset, limit });
  const end = offset + steps.length;
  return {
    id,
    kind: request.kind,
    head,
    summary,
    others: await laterWork(ground, { request, device, groups, names }),
    overlaps: await shownOverlaps(sources, folder, { overlaps: made.overlaps, names, head }),
    total,
    steps,
    ...(end < total ? { next: end } : {}),
  };
}

async function makePlan(
  sources: PastSources,
  folder: FolderName,
  request: PlanRequest,
  at?: Sequence,
): Promise<Made> {
  const seq = await sources.follower.ready(folder, at);
  const { epoch } = await headOf(sources.metadata, folder, seq);
  const ground = { sources, folder, head: { epoch, seq } };
  const wishes = await wishesOf(ground, request);
  const keepBoth = "overlaps" in request && request.overlaps === "keep-both";
  const tree = new PlanTreeAt(sources, folder, seq);
  const settled = await settleWanted(tree, wishes.wanted, keepBoth);
  // A conflict is resolved at once or not at all.
  const groups = request.kind === "resolve" ? [settled.groups.flat()] : settled.groups;
  const whole = groups.filter((group) => group.length > 0);
  const identified = identifyPlan(JSON.stringify(request), ground.head, whole);
  const overlaps = await withoutExpected(ground, settled.overlaps, {
    request,
    undone: wishes.undone,
  });
  return { ...identified, ground, overlaps: [...wishes.overlaps, ...overlaps] };
}

/**
 * A directory comes back for what is in it. That is news if others had deleted it, and that is not
 * what is taken back: a restore takes back whatever came later, and counts it.
 */
async function withoutExpected(
  { sources, folder }: PlanGround,
  overlaps: readonly Overlap[],
  asked: { readonly request: PlanRequest; readonly undone?: ReadonlySet<DeviceId> | undefined },
): Promise<readonly Overlap[]> {
  const { request, undone } = asked;
  const left: Overlap[] = [];
  for (const overlap of overlaps) {
    const { why, seq } = overlap;
    const seqs = why === "deleted_by_others" && seq !== undefined ? [seq] : [];
    const [event] = await sources.metadata.eventsAt(folder, seqs);
    if (event === undefined) left.push(overlap);
    else if (request.kind === "restore" ? event.seq > request.at : undone?.has(event.device))
      continue;
    else left.push(overlap);
  }
  return left;
}

/**
 * Does what was shown, and nothing else. May be repeated, also after a kill.
 *
 * @throws {SyncedError} `plan_mismatch` if the request as of that head is another plan;
 * `plan_stale` if others changed its nodes since (nothing was done, unless it is partial)
 */
export async function applyPlan(
  sources: PlanSources,
  folder: FolderName,
  { id, application }: { readonly id: PlanId; readonly application: PlanApplication },
): Promise<PlanResult> {
  const { request, head, device, partial } = application;
  const made = await makePlan(sources, folder, request, head);
  if (made.id !== id) {
    throw new SyncedError("plan_mismatch", `Cannot do plan ${id}: the same request is ${made.id}`);
  }
  const applying = new Applying(sources, folder, { made, device });
  return await applying.apply(partial);
}

interface Skipped {
  readonly op: Op;
  readonly code: string;
}

class Applying {
  readonly #sources: PlanSources;
  readonly #folder: FolderName;
  readonly #made: Made;
  readonly #device: DeviceId;
  /** Of its ops. */
  readonly #bodies: ReadonlyMap<OpId, Digest>;
  readonly #seqs: Sequence[] = [];
  readonly #skipped: Skipped[] = [];

  constructor(
    sources: PlanSources,
    folder: FolderName,
    { made, device }: { readonly made: Made; readonly device: DeviceId },
  ) {
    this.#sources = sources;
    this.#folder = folder;
    this.#made = made;
    this.#device = device;
    this.#bodies = new Map(made.groups.flat().map((op) => [op.opId, opBodyDigest(op)]));
  }

  async apply(partial: boolean): Promise<PlanResult> {
    const { groups } = this.#made;
    const waiting: Group[] = [];
    for (const part of inBatches(groups)) {
      for (const group of await this.#notDone(part)) waiting.push(group);
    }
    const stale: Op[] = [];
    const current: Group[] = [];
    const ownNodes = new Set(groups.flat().map(({ node }) => node));
    for (const group of waiting) {
      const found = await this.#staleOf(group, ownNodes);
      if (found === undefined) current.push(group);
      else stale.push(found);
      if (found === undefined) continue;
      for (const op of group) this.#skipped.push({ op, code: "changed_since" });
    }
    if (stale.length > 0 && !partial) throw await this.#staleError(stale);
    let index = 0;
    for (const part of inBatches(current)) await this.#commit(part, index++);
    return await this.#result();
  }

  /** Groups that are not in the log yet; the others are counted as done. */
  async #notDone(groups: readonly Group[]): Promise<readonly Group[]> {
    const ops = groups.flat().map(({ opId }) => ({ device: this.#device, opId }));
    const nothing = { nodes: [], places: [], deleted: [], objects: [], cursors: [] };
    const loaded = await this.#sources.metadata.load(this.#folder, { ...nothing, ops });
    // Whoever may write can take an id of the plan's first. Such an op is none of the plan.
    const done = new Map(loaded.ops.map(({ opId, body, seq }) => [`${opId} ${body}`, seq]));
    return groups.filter((group) => {
      const seqs = group.flatMap(({ opId }) => done.get(`${opId} ${this.#bodies.get(opId)}`) ?? []);
      for (const seq of seqs) this.#seqs.push(seq);
      return seqs.length < group.length;
    });
  }

  /** The op of a group whose node, or place, others changed since the plan was shown. */
  async #staleOf(group: Group, ownNodes: ReadonlySet<NodeId>): Promise<Op | undefined> {
    const { metadata } = this.#sources;
    for (const op of group) {
      const now = await metadata.node(this.#folder, op.node);
      if (now !== undefined && (await this.#isChanged(now))) return op;
      if (!setsPlace(op)) continue;
      const { parent, name } = op;
      const there = await metadata.child(this.#folder, { parent, name });
      if (there !== undefined && !ownNodes.has(there.id)) return op;
    }
    return undefined;
  }

  async #isChanged({ contentVersion, placeVersion }: RemoteNode): Promise<boolean> {
    const { seq: head } = this.#made.ground.head;
    const later = [contentVersion, placeVersion].filter((seq) => seq > head);
    const events = await this.#sources.metadata.eventsAt(this.#folder, later);
    return events.some((event) => !this.#isOwn(event));
  }

  /** Its approval proves nothing: anybody may name the plan's. */
  #isOwn(event: ServedEvent): boolean {
    if (event.device !== this.#device) return false;
    return this.#bodies.get(event.opId) === opBodyDigest(acceptedOp(event));
  }

  async #staleError(stale: readonly Op[]): Promise<SyncedError> {
    const changed = await this.#paths(stale.map(({ node }) => node));
    return new SyncedError(
      "plan_stale",
      `Cannot do the plan: others changed ${stale.length} of its entries since it was shown; look ` +
        "at it again",
      { extensions: { changed: [...changed.values()].slice(0, SHOWN_MAX), count: stale.length } },
    );
  }

  async #commit(groups: readonly Group[], index: number): Promise<void> {
    const { metadata, sequencer } = this.#sources;
    const { id } = this.#made;
    const cursor: Cursor = await headOf(metadata, this.#folder, undefined);
    const { results } = await sequencer.commit(this.#folder, {
      device: this.#device,
      batch: planBatchId(id, index),
      cursor,
      groups,
      approval: id,
    });
    for (const [at, result] of results.entries()) {
      if (result.status === "accepted") {
        for (const seq of result.seqs) this.#seqs.push(seq);
        continue;
      }
      for (const op of groups[at] ?? []) this.#skipped.push({ op, code: result.code });
    }
  }

  async #result(): Promise<PlanResult> {
    const seqs = this.#seqs.sort((a, b) => a - b);
    const [first] = seqs;
    const last = seqs.at(-1);
    const gone = this.#made.overlaps.filter(({ why }) => why === "version_gone");
    const left = [
      ...gone.map(({ node, why }) => ({ node, code: why })),
      ...this.#skipped.map(({ op: { node }, code }) => ({ node, code })),
    ];
    const paths = await this.#paths(left.map(({ node }) => node));
    const skipped = left.map(({ node, code }) => ({ node, path: paths.get(node) ?? "", code }));
    const range = first === undefined || last === undefined ? {} : { first, last };
    return { id: this.#made.id, ...range, done: seqs.length, skipped };
  }

  async #paths(nodes: readonly NodeId[]): Promise<ReadonlyMap<NodeId, string>> {
    const { head } = this.#made.ground;
    return await pathsOf(this.#sources, this.#folder, { nodes, at: head.seq });
  }
}

/** Names of entries in one message. */
const SHOWN_MAX = 100;

/** Whole groups, as many as fit into one batch. */
function* inBatches(groups: readonly Group[]): Generator<readonly Group[]> {
  let part: Group[] = [];
  let count = 0;
  for (const group of groups) {
    if (count + group.length > OPS_PER_BATCH_MAX && part.length > 0) {
      yield part;
      part = [];
      count = 0;
    }
    part.push(group);
    count += group.length;
  }
  if (part.length > 0) yield part;
}

async function pathsOf(
  { history }: PastSources,
  folder: FolderName,
  { nodes, at }: { readonly nodes: readonly NodeId[]; readonly at: Sequence },
): Promise<ReadonlyMap<NodeId, string>> {
  const paths = new PastPaths(history, folder, at);
  const found = new Map<NodeId, string>();
  for (const node of nodes) {
    const span = await history.nodeAt(folder, node, at);
    if (span !== undefined) found.set(node, await paths.pathOf(span));
  }
  return found;
}

async function shownOverlaps(
  sources: PastSources,
  folder: FolderName,
  request: {
    readonly overlaps: readonly Overlap[];
    readonly names: DeviceNames;
    readonly head: Sequence;
  },
): Promise<PlanOverlap[]> {
  const { overlaps, names, head } = request;
  const nodes = overlaps.map(({ node }) => node);
  const paths = await pathsOf(sources, folder, { nodes, at: head });
  const shown: PlanOverlap[] = [];
  for (const { node, why, other, seq } of overlaps) {
    const event = await eventOf(sources, folder, { other, seq, head });
    const by =
      event === undefined
        ? {}
        : {
            by: {
              device: event.device,
              deviceName: names(event.device),
              seq: event.seq,
              time: event.time,
            },
          };
    shown.push({ node, path: paths.get(node) ?? "", why, ...by });
  }
  return shown;
}

/** The event that is in the way, or the last one of the node that is. */
async function eventOf(
  { metadata }: PastSources,
  folder: FolderName,
  way: {
    readonly other: NodeId | undefined;
    readonly seq: Sequence | undefined;
    readonly head: Sequence;
  },
): Promise<ServedEvent | undefined> {
  if (way.seq !== undefined) return (await metadata.eventsAt(folder, [way.seq]))[0];
  if (way.other === undefined) return undefined;
  const page = { node: way.other, before: way.head + 1, limit: 1 };
  return (await metadata.history(folder, page))[0];
}
