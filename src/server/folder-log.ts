/**
 * One folder's queue of batches. Waiting batches are decided together and appended in one
 * transaction, so that many devices share one durability barrier. Rules: O1-O8, L1.
 */

import { assert, SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { CLOCK_BACK_MS_MAX, COMMIT_OPS_MAX, COMMIT_QUEUE_MAX } from "../core/limits.ts";
import type { RemoteNode, Sequence } from "../core/node.ts";
import type { Batch, BatchResult } from "../core/op.ts";
import { formatTime, parseTime } from "../core/time.ts";
import { turnsOf } from "../ports/clock.ts";
import type { ServerInstruments } from "../ports/instruments.ts";
import type { EventRecord, FolderUsage } from "../ports/metadata-store.ts";
import { batchTouches, movesToMeasure } from "./batch-touches.ts";
import { type Decision, decide } from "./commit.ts";
import { fileAction } from "./files-log.ts";
import { quotaOf, UsageTally } from "./folder-usage.ts";
import type { ObjectSupply } from "./object-supply.ts";
import { withObjectsVersion } from "./objects-version.ts";
import type { SequencerPorts } from "./ports.ts";

interface Waiting {
  readonly batch: Batch;
  readonly sinceMs: number;
  readonly resolve: (result: BatchResult) => void;
  readonly reject: (error: unknown) => void;
}

export class FolderLog {
  readonly #ports: SequencerPorts;
  readonly #supply: ObjectSupply;
  readonly #name: FolderName;
  readonly #usage: UsageTally;
  readonly #listeners = new Set<(head: Sequence) => void>();
  /** Of which head the listeners know; undefined until it was read once. */
  #told: Sequence | undefined;
  #queue: Waiting[] = [];
  #draining: Promise<void> | undefined;

  constructor(ports: SequencerPorts, supply: ObjectSupply, name: FolderName) {
    this.#ports = ports;
    this.#supply = supply;
    this.#name = name;
    this.#usage = new UsageTally(ports.metadata, name);
  }

  /**
   * @throws {SyncedError} `temporarily_unavailable` if too many batches wait, and all that
   * `Sequencer.commit` throws
   */
  commit(batch: Batch): Promise<BatchResult> {
    if (this.#queue.length >= COMMIT_QUEUE_MAX) {
      const claim = `${COMMIT_QUEUE_MAX} batches wait for folder "${this.#name}"`;
      const error = new SyncedError("temporarily_unavailable", `Cannot commit now: ${claim}`);
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ batch, sinceMs: this.#ports.clock.monotonic(), resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  subscribe(listener: (head: Sequence) => void): () => void {
    // A wrapper of its own, so that one function may subscribe twice.
    const own = (head: Sequence) => listener(head);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** The folder's live contents. @param head the head that the caller knows */
  usage(head: Sequence): Promise<FolderUsage> {
    return this.#usage.read(head);
  }

  /** Resolves when no work is under way. */
  async idle(): Promise<void> {
    await this.#draining;
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      // Requests that came in the same turn of the event loop join this transaction.
      await this.#ports.clock.yield();
      await this.#settle(this.#take());
    }
    this.#draining = undefined;
  }

  #take(): Waiting[] {
    let opCount = 0;
    let count = 0;
    for (const { batch } of this.#queue) {
      for (const group of batch.groups) opCount += group.length;
      if (count > 0 && opCount > COMMIT_OPS_MAX) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  /** Never rejects, because every waiting batch gets its own answer. */
  async #settle(waiting: readonly Waiting[]): Promise<void> {
    try {
      const results = await this.#commitTogether(waiting.map(({ batch }) => batch));
      for (const [index, { sinceMs, resolve, reject }] of waiting.entries()) {
        const result = results[index];
        assert(result !== undefined, "every batch has a result");
        const { instruments, clock } = this.#ports;
        if (instruments !== undefined) {
          instruments.batchAnswered((clock.monotonic() - sinceMs) / 1000);
          countRefusals(instruments, result);
        }
        if (result instanceof SyncedError) reject(result);
        else resolve(result);
      }
    } catch (error) {
      // A batch that breaks an assertion must not fail the others, so each is tried alone.
      if (waiting.length > 1 && !(error instanceof SyncedError)) {
        for (const one of waiting) await this.#settle([one]);
      } else {
        for (const { reject } of waiting) reject(error);
      }
    }
  }

  /** Takes the steps of a decision, and lets others run in between: 1,000 ops take a while. */
  async #inTurns(steps: ReturnType<typeof decide>): Promise<Decision> {
    const turn = turnsOf(this.#ports.clock);
    for (;;) {
      const step = steps.next();
      if (step.done === true) return step.value;
      await turn();
    }
  }

  async #commitTogether(
    batches: readonly Batch[],
  ): Promise<readonly (BatchResult | SyncedError)[]> {
    const touches = batchTouches(batches);
    return await withObjectsVersion(this.#ports, (version) =>
      this.#attempt(batches, touches, version),
    );
  }

  /** O14. @returns undefined without a quota */
  async #roomBytes(head: Sequence): Promise<number | undefined> {
    const quotaBytes = quotaOf(this.#ports.quota, this.#name);
    if (quotaBytes === undefined) return undefined;
    return quotaBytes - (await this.#usage.read(head)).bytes;
  }

  /** Listeners hear of each head once, and of none that is older than one they know. */
  hear(head: Sequence): void {
    if (this.#told !== undefined && head <= this.#told) return;
    this.#told = head;
    for (const listener of this.#listeners) listener(head);
  }

  /** @returns undefined if another commit, or a collection of garbage, came first */
  async #attempt(
    batches: readonly Batch[],
    touches: ReturnType<typeof batchTouches>,
    objectsVersion: number,
  ): Promise<readonly (BatchResult | SyncedError)[] | undefined> {
    const { metadata, clock, fileBytesMax } = this.#ports;
    const found = await metadata.load(this.#name, touches.request);
    // Events of others, or of an append whose answer was lost.
    if (this.#told === undefined) this.#told = found.head.seq;
    else this.hear(found.head.seq);
    const known = { known: found.objects, version: objectsVersion };
    const objects = await this.#supply.promote(this.#name, touches.contents, known);
    const loaded = { ...found, objects };
    const moved = movesToMeasure(loaded, batches);
    const extents =
      moved.length === 0 ? new Map() : await metadata.subtreeExtents(this.#name, moved);
    const time = timeAfter(loaded.headTime, clock.now());
    const roomBytes = await this.#roomBytes(loaded.head.seq);
    const proposal = { loaded, extents, batches, time, fileBytesMax, roomBytes };
    const { results, events, nodes } = await this.#inTurns(decide(proposal));
    if (events.length === 0) return results;
    const append = { expectedHead: loaded.head, objectsVersion, events, nodes };
    if ((await metadata.append(this.#name, append)) !== "appended") return undefined;
    const head = loaded.head.seq + events.length;
    this.#usage.commit({ expectedHead: loaded.head.seq, head, before: loaded.nodes, after: nodes });
    countEvents(this.#ports.instruments, events, loaded.nodes);
    // The events are durable, so listeners may hear of them now (O7).
    this.hear(head);
    this.#ports.news?.tell();
    return results;
  }
}

/**
 * The time of the events that come next (L8). A clock that stood more than an hour ahead once must
 * not decide for ever.
 *
 * @param last the time of the event before
 */
function timeAfter(last: string | undefined, nowMs: number): string {
  if (last === undefined) return formatTime(nowMs);
  const aheadMs = parseTime(last) - nowMs;
  return aheadMs > 0 && aheadMs <= CLOCK_BACK_MS_MAX ? last : formatTime(nowMs);
}

function countRefusals(instruments: ServerInstruments, result: BatchResult | SyncedError): void {
  if (result instanceof SyncedError) return;
  for (const group of result.results) {
    if (group.status === "refused") instruments.opsRefused(group.code);
  }
}

/** @param before the nodes' states before the first of the events */
function countEvents(
  instruments: ServerInstruments | undefined,
  events: readonly EventRecord[],
  before: readonly RemoteNode[],
): void {
  if (instruments === undefined) return;
  const contents = new Map(before.map(({ id, content }) => [id, content]));
  for (const { event } of events) {
    const action = fileAction(event, contents.get(event.node));
    instruments.committed({ action, isConflictCopy: event.conflictOf !== undefined });
    contents.set(event.node, event.content);
  }
}
