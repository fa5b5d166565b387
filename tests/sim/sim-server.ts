/**
 * SimServer: the real sequencer and router over simulated stores; crashes, restarts, goes back to a
 * backup. Rules: O7, I26, S5.
 */
import { SyncedError } from "../../src/core/error.ts";
import type { ServedEvent } from "../../src/core/event.ts";
import type { FolderName, ServerId } from "../../src/core/identifier.ts";
import type { Batch, Group, GroupResult } from "../../src/core/op.ts";
import { createRouter } from "../../src/http/router.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";
import { type Scheduler, SimClock } from "./sim-clock.ts";
import { SimMetadataStore } from "./sim-metadata-store.ts";
import type { SimListener } from "./sim-network.ts";
import { SimObjectStore } from "./sim-object-store.ts";
import { override } from "./sim-override.ts";
import type { SimRandom } from "./sim-random.ts";
import type { SimLog } from "./sim-server-disk.ts";
import { SimServerDisk } from "./sim-server-disk.ts";
import type { SimTrace } from "./sim-trace.ts";

/** What a planted bug puts between the router and the sequencer. */
export type SequencerWrapper = (sequencer: Sequencer, metadata: MetadataStore) => Sequencer;

export interface SimServerParts {
  readonly scheduler: Scheduler;
  readonly random: SimRandom;
  readonly wrap: SequencerWrapper;
  readonly wrapMetadata: (store: MetadataStore) => MetadataStore;
  /** Whether the server dies in the write that begins now. */
  readonly killed: () => boolean;
  /** Looks at a delete that a device got accepted (I7). */
  readonly onDelete: (device: string, event: ServedEvent) => void;
  /** Whether the disk is full for the write that begins now. */
  readonly full: () => boolean;
  readonly trace: SimTrace;
  readonly folder: FolderName;
  /** Told of answers with a status of 500 and above. */
  readonly onError: (error: unknown) => void;
}

const WRITE_MS_MAX = 4;
/** Most reads are answered from memory, at once. */
const SLOW_READ_SHARE = 0.1;

export class SimServer implements SimListener {
  readonly disk = new SimServerDisk();
  handler: ((request: Request) => Promise<Response>) | undefined;
  incarnation = 0;
  readonly #end = new AbortController();
  readonly #parts: SimServerParts;
  readonly #serverId: ServerId;
  #clock: SimClock | undefined;
  /** Op ids by the seq that was answered. */
  readonly #acknowledged = new Map<number, string>();

  constructor(parts: SimServerParts) {
    this.#parts = parts;
    this.#serverId = parts.random.id<ServerId>();
  }

  get log(): SimLog | undefined {
    return this.disk.folders.get(this.#parts.folder);
  }

  start(): void {
    if (this.handler !== undefined) return;
    const { scheduler, random, wrap, wrapMetadata, onError, full, killed } = this.#parts;
    const incarnation = ++this.incarnation;
    const latency = async (kind: "read" | "write") => {
      if (kind === "write" || random.chance(SLOW_READ_SHARE)) {
        if (kind === "write" && killed()) {
          scheduler.at(random.fraction() * WRITE_MS_MAX, () => this.#dies(incarnation));
        }
        const delay = random.fraction() * (kind === "write" ? WRITE_MS_MAX : 1);
        await new Promise<void>((resolve) => scheduler.at(delay, resolve));
      }
      if (incarnation !== this.incarnation) await new Promise<never>(() => {});
      if (kind === "write" && full())
        throw new SyncedError("storage_full", "Cannot write: the disk is full");
    };
    const clock = new SimClock(scheduler);
    this.#clock = clock;
    const metadata = wrapMetadata(
      new SimMetadataStore({ disk: this.disk, serverId: this.#serverId, latency }),
    );
    const objects = new SimObjectStore({ disk: this.disk, latency });
    const sequencer = this.#counted(
      wrap(createSequencer({ metadata, objects, clock, random }), metadata),
    );
    const router = createRouter({
      sequencer,
      clock,
      random,
      loopbackOnly: false,
      signal: this.#end.signal,
      onError,
    });
    this.handler = async (request) => await router.fetch(request);
  }

  #dies(incarnation: number): void {
    if (incarnation !== this.incarnation) return;
    const { trace, scheduler, random } = this.#parts;
    trace.count("server kill at a write");
    trace.add(`${scheduler.now} server killed`);
    this.crash();
    scheduler.at(random.fraction() * 3_000, () => this.start());
  }

  #counted(sequencer: Sequencer): Sequencer {
    const { trace, scheduler } = this.#parts;
    return override(sequencer, {
      commit: async (folder, batch) => {
        const known = this.#knownSeqs(batch);
        const result = await sequencer.commit(folder, batch);
        this.#checkRetry(batch, known, result.results);
        for (const [index, answer] of result.results.entries()) {
          if (answer.status === "accepted") {
            this.#checkBases(batch.groups[index] ?? [], answer.seqs);
            this.#checkDeletes(batch.device, answer.seqs);
            for (const [at, seq] of answer.seqs.entries()) {
              this.#acknowledged.set(seq, batch.groups[index]?.[at]?.opId ?? "");
            }
            continue;
          }
          trace.count("refused op");
          trace.add(`${scheduler.now} server refuses ${answer.code} ${answer.detail}`);
        }
        return result;
      },
    });
  }

  /** The seqs of ops that are in the log already, by op id. */
  #knownSeqs({ device, groups }: Batch): ReadonlyMap<string, number> {
    const ids = new Set<string>(groups.flat().map(({ opId }) => opId));
    const known = new Map<string, number>();
    for (const { event } of this.log?.events ?? []) {
      if (event.device === device && ids.has(event.opId)) known.set(event.opId, event.seq);
    }
    return known;
  }

  /** A retry is answered as the first try was (I28). */
  #checkRetry(batch: Batch, known: ReadonlyMap<string, number>, results: readonly GroupResult[]) {
    for (const [index, answer] of results.entries()) {
      for (const [at, { opId }] of (batch.groups[index] ?? []).entries()) {
        const seq = known.get(opId);
        if (seq === undefined || seq > (this.log?.events.length ?? 0)) continue;
        if (answer.status === "accepted" && answer.seqs[at] === seq) continue;
        this.#parts.onError(new Error(`I28: op ${opId} was event ${seq} and is asked for anew`));
      }
    }
  }

  /** An op is accepted only on the state that its author knew (I29). */
  #checkBases(group: Group, seqs: readonly number[]): void {
    const { log } = this;
    for (const [index, op] of group.entries()) {
      const seq = seqs[index];
      if (log === undefined || seq === undefined || seq > log.events.length) continue;
      const before = log.rowAt(op.node, seq - 1);
      const { contentVersion = 0, placeVersion = 0 } = before ?? {};
      const isContentKnown =
        op.kind === "move" || op.kind === "create" || op.baseContent === contentVersion;
      const isPlaceKnown =
        op.kind === "modify" || op.kind === "create" || op.basePlace === placeVersion;
      if (!isContentKnown || !isPlaceKnown) {
        this.#parts.onError(new Error(`I29: event ${seq} is not based on the state before it`));
      }
    }
  }

  /** An administrator brings back a backup that was made at `seq`. */
  restore(seq: number): void {
    this.log?.restore(seq);
    for (const known of [...this.#acknowledged.keys()]) {
      if (known > seq) this.#acknowledged.delete(known);
    }
  }

  /** What was answered and is not in the log any more (I26). */
  forgotten(): readonly number[] {
    const events = this.log?.events ?? [];
    return [...this.#acknowledged]
      .filter(([seq, opId]) => events[seq - 1]?.event.opId !== opId)
      .map(([seq]) => seq);
  }

  #checkDeletes(device: string, seqs: readonly number[]): void {
    for (const seq of seqs) {
      const event = this.log?.events[seq - 1]?.event;
      if (event?.kind === "delete") this.#parts.onDelete(device, event);
    }
  }

  /** The world is over: lets go of what waits for a signal that would never come. */
  end(): void {
    this.crash();
    this.#end.abort();
  }

  /** Nothing that was under way goes on; what was not durable is there or not. */
  crash(): void {
    this.handler = undefined;
    this.incarnation++;
    this.#clock?.kill();
    this.disk.crash(() => this.#parts.random.chance(0.5));
  }
}
