/**
 * Fetches objects from the server in bounded batches, several at once, and returns them in order.
 * It holds at most FETCHES_MAX batches of FETCH_BYTES_MAX, and writes nothing. Rules: C5.
 */
import type { Digest } from "../../core/digest.ts";
import { type ErrorCode, SyncedError } from "../../core/error.ts";
import type { ObjectMemory } from "../../ports/object-store.ts";
import type { ServerApi } from "../../protocol/server-api.ts";

/** Large enough to amortise a round trip; with those in flight it takes 20 MiB. */
export const FETCH_BYTES_MAX = 4 * 1024 * 1024;
/** Thousands of small files travel in one answer. */
export const FETCH_OBJECTS_MAX = 4_000;
const FETCHES_MAX = 4;
/** Smaller loads are given memory of their own. */
const LOAD_MEMORY_BYTES_MIN = FETCH_BYTES_MAX / 4;
/**
 * Smaller objects are not copied: most of them lie whole in a piece of the answer, which their load
 * then keeps. Larger ones come in several pieces and are copied anyway.
 */
const COPIED_BYTES_MIN = 32 * 1024;
/** An object that came damaged is asked for again this often. */
const ATTEMPTS_MAX = 3;

/** Troubles of single objects. Any other is trouble with the server and ends the work. */
const OBJECT_TROUBLES: ReadonlySet<ErrorCode> = new Set([
  "chunk_missing",
  "chunk_corrupt",
  "hash_mismatch",
  "invalid_chunk",
  "not_found",
  "protocol_violation",
]);

/** Objects by digest. Those that the server cannot give are left out. */
export type FetchedObjects = ReadonlyMap<Digest, Uint8Array>;

export interface Fetched {
  readonly objects: FetchedObjects;
  /** Objects that something on the way does not let pass, and why. */
  readonly refused: ReadonlyMap<Digest, SyncedError>;
}

/**
 * Fetches these objects; the ServerApi verifies each. Objects from a damaged answer are requested
 * again, at last one by one. If something on the way refuses an answer (H11), it is requested in
 * halves, down to one object.
 *
 * @throws {SyncedError} as ServerApi does, for trouble that is not about one object
 */
export async function fetchObjects(
  api: Pick<ServerApi, "fetchObjects">,
  digests: readonly Digest[],
  signal: AbortSignal,
  memory?: ObjectMemory,
): Promise<Fetched> {
  const taken = {
    objects: new Map<Digest, Uint8Array>(),
    refused: new Map<Digest, SyncedError>(),
  };
  const { objects, refused } = taken;
  let wanted = digests;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX && wanted.length > 0; attempt += 1) {
    await fetchInto({ ...taken, memory }, api, wanted, signal);
    wanted = wanted.filter((digest) => !objects.has(digest) && !refused.has(digest));
  }
  // One bad object may have hidden those behind it.
  for (const digest of wanted) await fetchInto({ ...taken, memory }, api, [digest], signal);
  return taken;
}

interface Taking {
  readonly objects: Map<Digest, Uint8Array>;
  readonly refused: Map<Digest, SyncedError>;
  readonly memory: ObjectMemory | undefined;
}

async function fetchInto(
  taken: Taking,
  api: Pick<ServerApi, "fetchObjects">,
  digests: readonly Digest[],
  signal: AbortSignal,
): Promise<void> {
  let count = 0;
  try {
    for await (const object of api.fetchObjects(digests, signal, taken.memory)) {
      taken.objects.set(object.digest, object.bytes);
      count += 1;
    }
  } catch (error) {
    if (!(error instanceof SyncedError)) throw error;
    if (error.code === "body_refused") {
      const [first] = digests;
      if (digests.length === 1 && first !== undefined) taken.refused.set(first, error);
      const middle = digests.length >> 1;
      if (middle === 0) return;
      await fetchInto(taken, api, digests.slice(0, middle), signal);
      await fetchInto(taken, api, digests.slice(middle), signal);
      return;
    }
    // After an answer has begun, it cannot say what is wrong with the next object. If that object
    // is requested first in a new answer, it can.
    const mayBeObject = error.code === "server_unreachable" && count > 0;
    if (!mayBeObject && !OBJECT_TROUBLES.has(error.code)) throw error;
  }
}

/** Steps of the caller's work, and the digests that they need. */
export interface Load<Step> {
  readonly steps: readonly Step[];
  readonly digests: readonly Digest[];
  /** Of all objects together. */
  readonly bytes: number;
}

/** Objects one behind the other in memory that is used again, load after load. */
class LoadMemory {
  readonly #buffer = new Uint8Array(FETCH_BYTES_MAX);
  #used = 0;

  readonly take: ObjectMemory = (lengthBytes) => {
    const start = this.#used;
    if (lengthBytes < COPIED_BYTES_MIN) return undefined;
    if (start + lengthBytes > this.#buffer.length) return undefined;
    this.#used += lengthBytes;
    return this.#buffer.subarray(start, this.#used);
  };

  reset(): void {
    this.#used = 0;
  }
}

interface Fetching<Step> {
  readonly steps: readonly Step[];
  /** Undefined where it would be more than the load needs. */
  readonly memory: LoadMemory | undefined;
  readonly answer: Promise<Answer>;
}

/**
 * Yields the loads in order, each with its objects, while the next ones are already being fetched.
 * The objects' bytes hold only until the next load is asked for.
 *
 * @throws {SyncedError} as `fetchObjects`, when the failed load's turn comes
 */
export async function* fetchAhead<Step>(
  api: Pick<ServerApi, "fetchObjects">,
  loads: Iterable<Load<Step>>,
  signal: AbortSignal,
): AsyncGenerator<{ readonly steps: readonly Step[]; readonly objects: FetchedObjects }> {
  // The reader may stop early (a full disk). Then the requests under way are of no use.
  const ours = new AbortController();
  const either = AbortSignal.any([signal, ours.signal]);
  const queue: Fetching<Step>[] = [];
  const spare: LoadMemory[] = [];
  try {
    for (const { steps, digests, bytes } of loads) {
      const isLarge = bytes >= LOAD_MEMORY_BYTES_MIN;
      const memory = isLarge ? (spare.pop() ?? new LoadMemory()) : undefined;
      const answer = answerOf(fetchObjects(api, digests, either, memory?.take));
      queue.push({ steps, memory, answer });
      if (queue.length < FETCHES_MAX) continue;
      const first = queue.shift();
      if (first === undefined) continue;
      yield { steps: first.steps, objects: unwrap(await first.answer) };
      first.memory?.reset();
      if (first.memory !== undefined) spare.push(first.memory);
    }
    for (const { steps, answer } of queue) yield { steps, objects: unwrap(await answer) };
  } finally {
    ours.abort();
  }
}

type Answer =
  | { readonly kind: "fetched"; readonly objects: FetchedObjects }
  | { readonly kind: "failed"; readonly cause: unknown };

/** Turned into a value, because a rejection that nobody awaits yet would end the process. */
function answerOf(fetching: Promise<Fetched>): Promise<Answer> {
  return fetching.then(
    ({ objects }) => ({ kind: "fetched", objects }),
    (cause: unknown) => ({ kind: "failed", cause }),
  );
}

function unwrap(answer: Answer): FetchedObjects {
  if (answer.kind === "failed") throw answer.cause;
  return answer.objects;
}
