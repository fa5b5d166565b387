/**
 * The event log over HTTP: as a JSON page, or live as server-sent events.
 * Rules: H5, H6. A stream reads the log only as fast as its reader takes it. So a slow reader costs
 * one bounded buffer, and a reader that takes nothing is dropped.
 */

import { parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import type { ServedEvent } from "../core/event.ts";
import { type DeviceId, type Epoch, type FolderName, parseId } from "../core/identifier.ts";
import { DRAIN_STREAMS_MS, EVENTS_PER_PAGE_MAX, HEARTBEAT_INTERVAL_MS } from "../core/limits.ts";
import { parseSequenceText } from "../protocol/parse-request.ts";
import type { EventsRequest } from "../server/requests.ts";
import { Allowances } from "./allowances.ts";
import { bytesAnswer } from "./answer.ts";
import {
  type Call,
  EVENT_STREAM_TYPE,
  type Route,
  type RouterOptions,
  requiredParameter,
  sendingOf,
} from "./endpoint.ts";
import { FolderTail, TailLimits } from "./folder-tail.ts";
import { folderOf, limitOf } from "./json-routes.ts";
import { type ListReader, listAnswer, readPage } from "./list-page.ts";
import { RevocationWatch } from "./revocation-watch.ts";
import { Turns } from "./turns.ts";

/** Live streams of one server: far more than one person's devices open, far fewer than hurt it. */
const STREAMS_MAX = 1000;
/** Events that a stream reads at once, at most and at least. */
const STREAM_PAGE_EVENTS = 100;
const STREAM_PAGE_EVENTS_MIN = 8;
/** Pages that are read at the same time. */
const PAGES_READ_MAX = 4;

const encoder = new TextEncoder();
const ORDER = encoder.encode('data: {"order":true}\n\n');
const HEARTBEAT = encoder.encode(": heartbeat\n\n");
/** Sent at once, so that proxies and readers see the headers. */
const GREETING = encoder.encode(": synced\n\n");

export function eventRoutes(options: RouterOptions): readonly Route[] {
  let streamCount = 0;
  const tails = new FolderTails(options);
  const revocations = new RevocationWatch(options);
  const turns = new Turns(options.clock, PAGES_READ_MAX);
  const allowances = new Allowances(options.clock);
  return [
    {
      pattern: "/v1/folders/:folder/events",
      methods: {
        GET: {
          needs: "read",
          parameters: ["after", "epoch", "hash", "limit", "inline", "device", "orders"],
          answers: "events",
          async handle(call) {
            const folder = folderOf(call);
            const isLive = wantsStream(call.request);
            const request = eventsRequest(call, isLive);
            if (isLive && streamCount >= (options.streamsMax ?? STREAMS_MAX)) {
              throw new SyncedError("too_many_streams", "Cannot open another event stream");
            }
            if (!isLive) return await answerPage(options, call, { folder, request, turns });
            options.readiness?.requireOpen();
            // Read before the stream begins. So a cursor that is not on this log gives an error
            // instead of a broken stream.
            const look = { ...request, limit: 1, inline: false, splitsGroups: true };
            const page = await options.sequencer.events(folder, look);
            const giveBack = allowances.openStream(call.caller);
            streamCount++;
            options.instruments?.streamOpened();
            const tail = tails.open(folder);
            const onClose = () => {
              tails.close(folder);
              streamCount--;
              giveBack();
              options.instruments?.streamClosed();
            };
            const { epoch } = page;
            const takesOrders = isFlag(call.query.get("orders"), "orders");
            const watch = (end: () => void) => revocations.watch(call.caller, end);
            return openStream(options, {
              folder,
              request,
              takesOrders,
              tail,
              epoch,
              onClose,
              watch,
            });
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
    inline: isFlag(call.query.get("inline"), "inline"),
    ...(device === undefined ? undefined : { device: parseId<DeviceId>(device) }),
    ...(epoch === undefined ? undefined : { epoch: parseId<Epoch>(epoch) }),
    ...(hash === undefined || !isSameCursor ? undefined : { hash: parseDigest(hash) }),
  };
}

function isFlag(text: string | undefined, name: string): boolean {
  if (text === undefined || text === "0") return false;
  if (text === "1") return true;
  throw new SyncedError("invalid_parameter", `Cannot use ${name}: expected "0" or "1"`);
}

/** A page as JSON. */
async function answerPage(
  options: RouterOptions,
  call: Call,
  { folder, request, turns }: Pick<StreamStart, "folder" | "request"> & { readonly turns: Turns },
): Promise<Response> {
  const { limit } = request;
  const reader = eventReader(options, folder, request);
  const page = await readPage(reader, { limit, turns, memory: call.memory });
  const rest = { ...page.lastHead, next: page.last?.seq ?? request.after };
  return listAnswer({ ...page, name: "events" }, rest, sendingOf(options, call));
}

function eventReader(
  { sequencer }: RouterOptions,
  folder: FolderName,
  request: EventsRequest,
): ListReader<ServedEvent, object> {
  // The hash is that of the event before the page.
  const { hash: _first, ...further } = request;
  return {
    async read(last, limit) {
      const start = last === undefined ? request : { ...further, after: last.seq };
      const wanted = { ...start, limit, splitsGroups: true };
      const { events, epoch, head } = await sequencer.events(folder, wanted);
      return { head: { epoch, head }, items: events, isEnd: events.length < limit };
    },
    shown: (event) => event,
    mayEnd: ({ groupEnd }) => groupEnd,
  };
}

/** One tail for each folder that has a reader. */
class FolderTails {
  readonly #options: RouterOptions;
  readonly #limits: TailLimits;
  readonly #tails = new Map<FolderName, { readonly tail: FolderTail; readers: number }>();

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#limits = new TailLimits(options.clock);
  }

  open(folder: FolderName): FolderTail {
    const known = this.#tails.get(folder);
    const entry = known ?? {
      tail: new FolderTail(this.#options, folder, this.#limits),
      readers: 0,
    };
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
  /** True if the reader wants to know of orders for its device. */
  readonly takesOrders: boolean;
  readonly tail: FolderTail;
  readonly epoch: Epoch;
  readonly onClose: () => void;
  /** Calls `end` when the reader may not read any more. Returns a function that ends the watch. */
  readonly watch: (end: () => void) => () => void;
}

/** One piece at most waits in the stream's queue. */
function openStream(options: RouterOptions, start: StreamStart): Response {
  const ended = new AbortController();
  const pieces = livePieces(options, start, ended.signal);
  let moved = new AbortController();
  const end = () => {
    if (ended.signal.aborted) return;
    ended.abort();
    moved.abort();
    options.signal.removeEventListener("abort", end);
    options.readiness?.draining.removeEventListener("abort", leave);
    unwatch();
    start.onClose();
  };
  const unwatch = start.watch(end);
  options.signal.addEventListener("abort", end, { once: true });
  const leave = async () => {
    const { clock, random } = options;
    await clock.sleep(random.fraction() * DRAIN_STREAMS_MS, ended.signal);
    end();
  };
  options.readiness?.draining.addEventListener("abort", leave, { once: true });

  /**
   * Drops a reader that leaves a piece for a heartbeat's time. The reader resumes from its cursor.
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
    new ByteLengthQueuingStrategy({ highWaterMark: 1 }),
  );
  // Keeps nginx from collecting events before it passes them on.
  return bytesAnswer(body, { "content-type": EVENT_STREAM_TYPE, "x-accel-buffering": "no" });
}

/** Yields pieces of the stream: some events, or a heartbeat. Ends when the signal aborts. */
async function* livePieces(
  { sequencer, clock, orders }: RouterOptions,
  { folder, request, takesOrders, tail, epoch }: StreamStart,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { device, inline = false } = request;
  let { after, limit } = request;
  let news = new AbortController();
  const wake = () => news.abort();
  const unsubscribe = sequencer.subscribe(folder, wake);
  const place = takesOrders && device !== undefined ? { epoch, device } : undefined;
  let hasOrder = place !== undefined && (orders?.waitingFor(place) ?? []).length > 0;
  const hear = () => {
    hasOrder = true;
    wake();
  };
  const deafen = place === undefined ? undefined : orders?.subscribe(place, hear);
  signal.addEventListener("abort", wake, { once: true });
  try {
    yield GREETING;
    while (!signal.aborted) {
      if (hasOrder) {
        hasOrder = false;
        yield ORDER;
      }
      const piece = await tail.read({ after, limit, inline, epoch, device });
      if (piece.bytes.length > 0) yield piece.bytes;
      // Where paths are long, few events make a piece, and the rest would be read again.
      const fitting = Math.max(STREAM_PAGE_EVENTS_MIN, 2 * (piece.next - after));
      limit = Math.min(request.limit, fitting);
      after = piece.next;
      // Renewed before the head is read, so that a commit in between ends the wait at once.
      if (news.signal.aborted) news = new AbortController();
      if (after < tail.head || hasOrder || signal.aborted) continue;
      await clock.sleep(HEARTBEAT_INTERVAL_MS, news.signal);
      if (!news.signal.aborted) yield HEARTBEAT;
    }
  } finally {
    unsubscribe();
    deafen?.();
  }
}
