/**
 * Logs whose hashes fit and whose tree may not: what a server can send that follows the formats and
 * breaks the rules.
 */
import { eventHash } from "../../src/core/canonical.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type Cursor, EVENT_KINDS, type Event, type ServedEvent } from "../../src/core/event.ts";
import { foldEvent } from "../../src/core/fold.ts";
import {
  type BatchId,
  type DeviceId,
  type NodeId,
  type OpId,
  PARKING_ID,
  parseId,
  ROOT_ID,
} from "../../src/core/identifier.ts";
import type { Content, RemoteNode } from "../../src/core/node.ts";
import type { SimRandom } from "../sim/sim-random.ts";

export const DIRECTORY: Content = { kind: "directory" };

/** A file of one inlined chunk. */
export function fileOf(text: string): Content {
  const digest = sha256(text);
  const size = new TextEncoder().encode(text).length;
  const metadata = { executable: false, mtimeNs: "1700000000000000001" };
  return { kind: "file", manifest: digest, depth: 0, sha256: digest, size, ...metadata };
}

export function hexId<Id extends NodeId | DeviceId | OpId | BatchId>(number: number): Id {
  return parseId<Id>(number.toString(16).padStart(32, "0"));
}

type Draft = Pick<Event, "kind" | "node" | "parent" | "name" | "content"> &
  Partial<Pick<Event, "groupEnd" | "baseContent" | "basePlace" | "approval" | "conflictOf">>;

/** Chains events behind a cursor, whatever they say. */
export class LogWriter {
  readonly events: ServedEvent[] = [];
  readonly rows = new Map<NodeId, RemoteNode>();
  #cursor: Cursor;

  constructor(cursor: Cursor, rows: Iterable<RemoteNode> = []) {
    this.#cursor = cursor;
    for (const row of rows) this.rows.set(row.id, row);
  }

  get cursor(): Cursor {
    return this.#cursor;
  }

  /** Bases are those of the node as it is, unless the draft has others. */
  add(draft: Draft): ServedEvent {
    const seq = this.#cursor.seq + 1;
    const row = this.rows.get(draft.node);
    const isNew = draft.kind === "create";
    const header = {
      seq,
      time: "2026-01-01T00:00:00.000Z",
      device: hexId<DeviceId>(0xdddd),
      opId: hexId<OpId>(0x0e000000 + seq),
      batch: hexId<BatchId>(0xb000),
      groupEnd: true,
      baseContent: isNew && row?.deleted !== true ? 0 : (row?.contentVersion ?? 0),
      basePlace: isNew
        ? row?.deleted === true
          ? row.contentVersion
          : 0
        : (row?.placeVersion ?? 0),
    };
    const { hash: previousHash } = this.#cursor;
    const hashed = { ...header, ...draft };
    const event = { ...hashed, previousHash, hash: eventHash(previousHash, hashed) };
    this.#cursor = { ...this.#cursor, seq, hash: event.hash };
    this.rows.set(event.node, foldEvent(event));
    const served = { ...event, path: draft.name };
    this.events.push(served);
    return served;
  }

  /** The next event as some op would make it: place and content that it leaves alone are true. */
  change(kind: "modify" | "move" | "delete", node: NodeId, change: Partial<Draft> = {}): void {
    const row = this.rows.get(node);
    if (row === undefined) throw new Error(`There is no node ${node}`);
    const { parent, name, content } = row;
    this.add({ kind, node, parent, name, content, ...change });
  }

  create(node: NodeId, parent: NodeId, name: string, content: Content = DIRECTORY): void {
    this.add({ kind: "create", node, parent, name, content });
  }
}

const CONTENTS: readonly Content[] = [
  DIRECTORY,
  DIRECTORY,
  fileOf("some text"),
  { kind: "symlink", target: "../../etc" },
];

/** Adds up to 12 events of which each may be anything that the formats allow. */
export function addRandomEvents(log: LogWriter, random: SimRandom): void {
  const pick = <Item>(items: readonly Item[], otherwise: Item): Item =>
    items[random.below(items.length)] ?? otherwise;
  const count = 1 + random.below(12);
  for (let index = 0; index < count; index += 1) {
    const known = [...log.rows.keys()];
    const fresh = hexId<NodeId>(0x1000 + random.below(40));
    const node = random.below(20) === 0 ? pick([ROOT_ID, PARKING_ID], ROOT_ID) : fresh;
    const target = random.below(3) === 0 ? node : pick(known, node);
    const row = log.rows.get(target);
    const parents = [ROOT_ID, ROOT_ID, target, PARKING_ID, fresh, ...known, ...known];
    const place = { parent: pick(parents, ROOT_ID), name: pick(["a", "b", "c", "d"], "a") };
    const content = pick(CONTENTS, DIRECTORY);
    const isTrue = row !== undefined && random.below(4) > 0;
    const kind = row === undefined || row.deleted ? "create" : pick(EVENT_KINDS, "modify");
    log.add({
      kind: random.below(12) === 0 ? pick(EVENT_KINDS, "move") : kind,
      node: target,
      ...(isTrue && kind !== "move" && kind !== "create" ? row : place),
      content: isTrue && kind !== "modify" ? row.content : content,
      groupEnd: index === count - 1 || random.below(3) > 0,
      ...(random.below(15) === 0 ? { baseContent: random.below(1_000) } : undefined),
    });
  }
}

/**
 * Says whether a tree is legal, in the plainest way: every live node has a live directory above it
 * up to the root, and no two have one place.
 */
export function isLegalTree(rows: ReadonlyMap<NodeId, RemoteNode>): boolean {
  const places = new Set<string>();
  for (const node of rows.values()) {
    if (node.deleted) continue;
    if (node.id === ROOT_ID || node.id === PARKING_ID) return false;
    const place = `${node.parent}/${node.name}`;
    if (places.has(place)) return false;
    places.add(place);
    let above = node.parent;
    for (let steps = 0; above !== ROOT_ID; steps += 1) {
      const parent = rows.get(above);
      if (parent === undefined || parent.deleted || steps > rows.size) return false;
      if (parent.content.kind !== "directory") return false;
      above = parent.parent;
    }
  }
  return true;
}
