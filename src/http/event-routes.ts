/**
 * The event log over HTTP: as a JSON page, or live as server-sent events.
 * Rules: H5, H6. A stream reads the log only as fast as its reader takes it. So a slow reader costs
 * one bounded buffer, and a reader that takes nothing is dropped.
 */

import { parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { type DeviceId, type Epoch, type FolderName, parseId } from "../core/identifier.ts";
import {
  EVENTS_PER_PAGE_MAX,
  HEARTBEAT_INTERVAL_MS,
  STREAM_BUFFER_BYTES_MAX,
} from "../core/limits.ts";
import { parseSequenceText } from "../protocol/parse-request.ts";
import type { EventsRequest } from "../server/requests.ts";
import { bytesAnswer, jsonAnswer } from "./answer.ts";
import {
  type Call,
  EVENT_STREAM_TYPE,
  type Route,
  type RouterOptions,
  requiredParameter,
} from "./endpoint.ts";
import { FolderTail } from "./folder-tail.ts";
import { folderOf, limitOf } from "./json-routes.ts";
import { RevocationWatch } from "./revocation-watch.ts";

/** Live streams of one server: far more than one person's devices open, far fewer than hurt it. */
const STREAMS_MAX = 1000;
/** Events that a stream reads at once, so that a piece stays well below the buffer's bound. */
const STREAM_PAGE_EVENTS = 100;

const encoder = new TextEncoder();
const HEARTBEAT = encoder.encode(": heartbeat\n\n");
/** Sent at once, so that proxies and readers see the headers. */
const GREETING = encoder.encode(": synced\n\n");

export function eventRoutes(options: RouterOptions): readonly Route[] {
  let streamCount = 0;
  const tails = new FolderTails(options);
  const revocations = new RevocationWatch(options);
  return [
    {
      pattern: "/v1/folders/:folder/events",
      methods: {
        GET: {
          needs: "read",
          parameters: ["after", "epoch", "hash", "limit", "inline", "device"],
          answers: "events",
          async handle(call) {
            const folder = folderOf(call);
            const isLive = wantsStream(call.request);
            const request = eventsRequest(call, isLive);
            if (isLive && streamCount >= STREAMS_MAX) {
              throw new SyncedError("too_many_streams", "Cannot open another event stream");
            }
            // Read before the stream begins. So a cursor that is not on this log gives an error
            // instead of a broken stream.
            const look = isLive ? { ...request, limit: 1, inline: false } : request;
            const page = await options.sequencer.events(folder, look);
            if (!isLive) return jsonAnswer(page);
            streamCount++;
            options.instruments?.streamOpened();
            const tail = tails.open(folder);
            const onClose = () => {
              tails.close(folder);
              streamCount--;
              options.instruments?.streamClosed();
            };
            const { epoch } = page;
            const watch = (end: () => void) => revocations.watch(call.caller, end);
            return openStream(options, { folder, request, tail, epoch, onClose, watch });
          },
        },
      },
    },
  ];
}

function wantsStream(request: Request): boolean {
  const accept = request.headers.get("accept") ?? "";
  return accept.toLowerCase().includes(EVENT_STREAM_TYPE);
}

function eventsRequest(call: Call, isLive: boolean): EventsRequest {
  // A browser reconnects with its first URL. This header says how far it came.
  const resumed = isLive ? call.request.headers.get("last-event-id") : null;
  const after = parseSequenceText(resumed ?? requiredParameter(call, "after"), "after");
  const isSameCursor = resumed === null || resumed === call.query.get("after");
  const epoch = call.query.get("epoch");
  const hash = call.query.get("hash");
  const device = call.query.get("device");
  const limit = limitOf(call, EVENTS_PER_PAGE_MAX);
  return {
    after,
    limit: isLive ? Math.min(limit, STREAM_PAGE_EVENTS) : limit,
    inline: isInline(call.query.get("inline")),
    ...(device === undefined ? undefined : { device: parseId<DeviceId>(device) }),
    ...(epoch === undefined ? undefined : { epoch: parseId<Epoch>(epoch) }),
    ...(hash === undefined || !isSameCursor ? undefined : { hash: parseDigest(hash) }),
  };
}

function isInline(text: string | undefined): boolean {
  if (text === undefined || text === "0") return false;
  if (text === "1") return true;
  throw new SyncedError("invalid_parameter", 'Cannot use inline: expected "0" or "1"');
}

/** One tail for each folder that has a reader. */
class FolderTails {
  readonly #options: RouterOptions;
  readonly #tails = new Map<FolderName, { readonly tail: FolderTail; readers: number }>();

  constructor(options: RouterOptions) {
    this.#options = options;
  }

  open(folder: FolderName): FolderTail {
    const known = this.#tails.get(folder);
    const entry = known ?? { tail: new FolderTail(this.#options, folder), readers: 0 };
    entry.readers++;
    this.#tails.set(folder, entry);
    return entry.tail;
  }

  close(folder: FolderName): void {
    const entry = this.#tails.get(folder);
    if (entry === undefined || --entry.readers > 0) return;
    entry.tail.close();
    this.#tails.delete(folder);
  }
}

interface StreamStart {
  readonly folder: FolderName;
  readonly request: EventsRequest;
  readonly tail: FolderTail;
  readonly epoch: Epoch;
  readonly onClose: () => void;
  /** Calls `end` when the reader may not read any more. Returns a function that ends the watch. */
  readonly watch: (end: () => void) => () => void;
}

/** The buffer is the stream's own queue. It is full when 1 MiB waits for the reader. */
function openStream(options: RouterOptions, start: StreamStart): Response {
  const ended = new AbortController();
  const pieces = livePieces(options, start, ended.signal);
  let moved = new AbortController();
  const end = () => {
    if (ended.signal.aborted) return;
    ended.abort();
    moved.abort();
    options.signal.removeEventListener("abort", end);
    unwatch();
    start.onClose();
  };
  const unwatch = start.watch(end);
  options.signal.addEventListener("abort", end, { once: true });

  /**
   * Drops a reader that takes nothing for a heartbeat's time while its buffer is full. The reader
   * resumes from its cursor.
   */
  async function watchStalled(controller: ReadableStreamDefaultController<Uint8Array>) {
    const { signal } = moved;
    await options.clock.sleep(HEARTBEAT_INTERVAL_MS, signal);
    if (signal.aborted) return;
    end();
    controller.error(new SyncedError("request_timeout", "The reader takes nothing any more"));
  }

  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        moved.abort();
        try {
          const { done, value } = await pieces.next();
          if (done === true) {
            end();
            controller.close();
            return;
          }
          controller.enqueue(value);
          moved = new AbortController();
          if ((controller.desiredSize ?? 0) <= 0) void watchStalled(controller);
        } catch (error) {
          end();
          controller.error(error);
        }
      },
      async cancel() {
        end();
        await pieces.return(undefined);
      },
    },
    new ByteLengthQueuingStrategy({ highWaterMark: STREAM_BUFFER_BYTES_MAX }),
  );
  // Keeps nginx from collecting events before it passes them on.
  return bytesAnswer(body, { "content-type": EVENT_STREAM_TYPE, "x-accel-buffering": "no" });
}

/** Yields pieces of the stream: whole groups, or a heartbeat. Ends when the signal aborts. */
async function* livePieces(
  { sequencer, clock }: RouterOptions,
  { folder, request, tail, epoch }: StreamStart,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { device, limit, inline = false } = request;
  let { after } = request;
  let news = new AbortController();
  const wake = () => news.abort();
  const unsubscribe = sequencer.subscribe(folder, wake);
  signal.addEventListener("abort", wake, { once: true });
  try {
    yield GREETING;
    while (!signal.aborted) {
      const page = await tail.read({ after, limit, inline, epoch });
      if (!page.isEmpty) yield await page.pieceFor(device);
      after = page.next;
      // Renewed before the head is read, so that a commit in between ends the wait at once.
      if (news.signal.aborted) news = new AbortController();
      if (after < tail.head || signal.aborted) continue;
      await clock.sleep(HEARTBEAT_INTERVAL_MS, news.signal);
      if (!news.signal.aborted) yield HEARTBEAT;
    }
  } finally {
    unsubscribe();
  }
}
