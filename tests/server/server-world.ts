/**
 * A sequencer over real stores, with a clock and a random source that repeat, and short ways to
 * make ops.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openSqliteMetadataStore } from "../../src/adapters/metadata/store.ts";
import { openDiskObjectStore } from "../../src/adapters/objects/store.ts";
import { sha256 } from "../../src/core/digest.ts";
import type { Cursor } from "../../src/core/event.ts";
import {
  type BatchId,
  type DeviceId,
  type NodeId,
  type OpId,
  parseFolderName,
  type parseId,
  ROOT_ID,
  type ServerId,
} from "../../src/core/identifier.ts";
import type { Content, Sequence } from "../../src/core/node.ts";
import type { Batch, Group, GroupResult, Op } from "../../src/core/op.ts";
import type { Clock } from "../../src/ports/clock.ts";
import type { Random } from "../../src/ports/random.ts";
import type { PackObject } from "../../src/protocol/messages.ts";
import type { SequencerPorts } from "../../src/server/ports.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";

export const FOLDER = parseFolderName("default");
export const DEVICE = hexId<DeviceId>("d", 1);
export const SERVER = hexId<ServerId>("5", 1);
export const DIRECTORY: Content = { kind: "directory" };

/** A readable id: a letter and a number. */
export function hexId<Id extends Parameters<typeof parseId>[0]>(letter: string, n: number): Id {
  return `${letter}${n.toString(16).padStart(31, "0")}` as Id;
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

export function chunkOf(text: string): PackObject {
  const bytes = bytesOf(text);
  return { depth: 0, digest: sha256(bytes), bytes };
}

let opCount = 0;

function opId(): OpId {
  opCount += 1;
  return hexId<OpId>("0", opCount);
}

export function create(node: NodeId, name: string, content: Content, parent = ROOT_ID): Op {
  return { kind: "create", opId: opId(), node, parent, name, content, base: 0 };
}

export function revive(
  node: NodeId,
  name: string,
  content: Content,
  base: Sequence,
  parent = ROOT_ID,
): Op {
  return { kind: "create", opId: opId(), node, parent, name, content, base };
}

export function modify(node: NodeId, content: Content, baseContent: Sequence): Op {
  return { kind: "modify", opId: opId(), node, content, baseContent };
}

export function move(node: NodeId, name: string, basePlace: Sequence, parent = ROOT_ID): Op {
  return { kind: "move", opId: opId(), node, parent, name, basePlace };
}

export function remove(node: NodeId, baseContent: Sequence, basePlace = baseContent): Op {
  return { kind: "delete", opId: opId(), node, baseContent, basePlace };
}

let batchCount = 0;

export function batchOf(cursor: Cursor, groups: readonly Group[], device = DEVICE): Batch {
  batchCount += 1;
  return { device, batch: hexId<BatchId>("b", batchCount), cursor, groups };
}

export interface ServerWorld extends SequencerPorts {
  readonly sequencer: Sequencer;
  readonly directory: string;
  cursor(): Promise<Cursor>;
  /** Posts each group of one batch at the current cursor. */
  post(...groups: readonly Group[]): Promise<readonly GroupResult[]>;
  /** Posts one group; @returns its seqs, or the refusal's code. */
  outcome(...group: readonly Op[]): Promise<readonly Sequence[] | string>;
  /** Uploads one chunk. */
  upload(...texts: readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** Virtual: each look is a millisecond later. */
export function tickingClock(): Clock {
  let now = 1_700_000_000_000;
  return {
    now: () => now++,
    monotonic: () => now++,
    sleep: async () => {},
    yield: () => new Promise((resolve) => setImmediate(resolve)),
  };
}

export function countingRandom(letter = "a"): Random {
  let count = 0;
  return {
    id: <Id extends string>() => {
      count += 1;
      return `${letter}${count.toString(16).padStart(31, "0")}` as Id;
    },
    fraction: () => 0.5,
  };
}

export async function serverWorld(path = ":memory:"): Promise<ServerWorld> {
  const directory = mkdtempSync(join(tmpdir(), "synced-test-server-"));
  const metadata = openSqliteMetadataStore({ path, newServerId: SERVER });
  const objects = openDiskObjectStore({ directory });
  const ports = { metadata, objects, clock: tickingClock(), random: countingRandom() };
  const sequencer = createSequencer(ports);
  await sequencer.createFolder(FOLDER);
  const cursor = async () => {
    const { epoch, head, hash } = await sequencer.folder(FOLDER);
    return { epoch, seq: head, hash };
  };
  const post = async (...groups: readonly Group[]) => {
    const { results } = await sequencer.commit(FOLDER, batchOf(await cursor(), groups));
    return results;
  };
  return {
    ...ports,
    sequencer,
    directory,
    cursor,
    post,
    outcome: async (...group) => {
      const [result] = await post(group);
      if (result === undefined) throw new Error("No result");
      return result.status === "accepted" ? result.seqs : result.code;
    },
    upload: (...texts) => sequencer.putObjects(FOLDER, texts.map(chunkOf)),
    close: async () => {
      await sequencer.close();
      await objects.close();
      await metadata.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export async function collect<Value>(values: AsyncIterable<Value>): Promise<Value[]> {
  const all: Value[] = [];
  for await (const value of values) all.push(value);
  return all;
}
