/**
 * ServerApi over a Transport: the routes of one folder. Each answer is checked before it is handed
 * out.
 * Rules: H1-H8, C5, G5. It has no sockets or timers of its own, so it also runs over an in-process
 * router.
 */

import type { Digest } from "../core/digest.ts";
import { type ErrorCode, SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import {
  EVENTS_PER_PAGE_MAX,
  HEARTBEAT_TIMEOUT_MS,
  OBJECT_SIZE_BYTES_MAX,
  OBJECTS_PER_REQUEST_MAX,
} from "../core/limits.ts";
import type { Clock } from "../ports/clock.ts";
import type { ClientInstruments } from "../ports/instruments.ts";
import type { ObjectMemory } from "../ports/object-store.ts";
import type { Transport } from "../ports/transport.ts";
import { sendBody } from "./body-refusal.ts";
import { EventStreamDecoder } from "./event-stream.ts";
import { type Answer, type Outgoing, parseAnsweredJson, send, sendForJson } from "./exchange.ts";
import {
  type DeviceReport,
  type Hello,
  ORDERS_FEATURE,
  type PackObject,
  STATE_FEATURE,
  type StreamMessage,
} from "./messages.ts";
import { encodePack, PACK_HEADER_BYTES, PACK_MEDIA_TYPE, PackDecoder } from "./pack.ts";
import {
  parseBatchResult,
  parseEventPage,
  parseFolderCreation,
  parseHello,
  parseHistoryPart,
  parseIndexPage,
  parseMissing,
  parseOrders,
  parseStreamMessage,
  parseTreePage,
  parseWanted,
} from "./parse-answer.ts";
import type { ServerApi } from "./server-api.ts";
import { ServerUrls } from "./server-urls.ts";

export interface ServerApiOptions {
  readonly transport: Transport;
  readonly clock: Clock;
  /** As `ServerUrls` takes them; may have a path if a proxy wants one. */
  readonly serverUrl: string;
  readonly folder: FolderName;
  /** A function is asked for it each time that the server is greeted. */
  readonly token?: string | (() => string);
  readonly instruments?: Pick<ClientInstruments, "bytesMoved">;
}

/** Bytes that the server does not give back are nowhere but here. */
const ABSENT: ReadonlySet<ErrorCode> = new Set<ErrorCode>(["not_found", "version_gone"]);

const IDLE_MS = 60_000;
/** Short, because the greeting decides whether there is a server at all. */
const HELLO_IDLE_MS = 10_000;
/** A thousand events with the longest paths and inlined files. */
const PAGE_BYTES_MAX = 64 * 1024 * 1024;
const SMALL_ANSWER_BYTES_MAX = 1024 * 1024;

/** Makes no request. */
export function createServerApi(options: ServerApiOptions): ServerApi {
  const { transport, clock, folder, instruments } = options;
  const currentToken = () =>
    typeof options.token === "function" ? options.token() : options.token;
  let token = currentToken();
  const servers = new ServerUrls(options.serverUrl);
  const exchange = {
    transport,
    clock,
    servers,
    ...(instruments === undefined ? undefined : { instruments }),
  };
  const base = `/v1/folders/${folder}`;

  function outgoing(part: Partial<Outgoing> & Pick<Outgoing, "method" | "path" | "signal">) {
    return {
      accept: "application/json",
      idleMs: IDLE_MS,
      ...(token === undefined ? undefined : { token }),
      ...part,
    } satisfies Outgoing;
  }
  function postJson(path: string, value: unknown, signal: AbortSignal): Outgoing {
    const body = JSON.stringify(value);
    const contentType = "application/json";
    return outgoing({ method: "POST", path: `${base}/${path}`, contentType, body, signal });
  }

  /** As the server said when it was greeted last. */
  let features: readonly string[] = [];

  async function hello(signal: AbortSignal): Promise<Hello> {
    token = currentToken();
    // The token is not sent until the server's id is known to be the right one [G5].
    const request: Outgoing = {
      method: "GET",
      path: "/v1/hello",
      accept: "application/json",
      idleMs: HELLO_IDLE_MS,
      signal,
    };
    const ask = () => sendForJson(exchange, request, SMALL_ANSWER_BYTES_MAX);
    const greeting = parseHello(await servers.any(ask), servers.current);
    features = greeting.features;
    return greeting;
  }
  /** Throws an error that is about the server as a whole. */
  async function checkServer(signal: AbortSignal): Promise<void> {
    await hello(signal);
    const request = outgoing({ method: "GET", path: base, signal });
    await sendForJson(exchange, request, SMALL_ANSWER_BYTES_MAX);
  }
  /** For requests that may fail because of the body that is sent or asked for. */
  const attempt = <Value>(request: Outgoing, ask: () => Promise<Value>): Promise<Value> =>
    sendBody({
      place: transport.describe?.(servers.current) ?? servers.current,
      checkServer,
      request,
      ask,
    });

  const putPack = async (body: Uint8Array<ArrayBuffer>, signal: AbortSignal): Promise<void> => {
    const contentType = PACK_MEDIA_TYPE;
    const path = `${base}/chunks`;
    const request = outgoing({ method: "POST", path, contentType, body, signal });
    await attempt(request, () => sendForJson(exchange, request, SMALL_ANSWER_BYTES_MAX));
  };
  async function sendForNothing(request: Outgoing): Promise<void> {
    const answer = await send(exchange, request, "application/json");
    // Read to its end, so that the connection can be used again.
    for await (const piece of answer.pieces()) void piece;
  }
  return {
    hello,

    async createFolder(signal) {
      const ask = async (method: "GET" | "PUT") =>
        parseFolderCreation(
          await sendForJson(
            exchange,
            outgoing({ method, path: base, signal }),
            SMALL_ANSWER_BYTES_MAX,
          ),
        );
      const answer = await ask("PUT").catch(async (cause: unknown) => {
        if (!(cause instanceof SyncedError)) throw cause;
        if (cause.code === "folder_not_found") throw outOfReach(folder, cause);
        // A token that may only read finds the folder, or nothing.
        if (cause.code !== "forbidden") throw cause;
        return await ask("GET");
      });
      if (answer.name !== folder) throw violation("the server created a folder of another name");
      return answer;
    },

    async events({ after, device, limit }, signal) {
      const reader = readerQuery(device);
      const path = `${base}/events?${cursorQuery(after)}&limit=${limit}&inline=1${reader}`;
      const request = outgoing({ method: "GET", path, signal });
      const page = await sendForJson(exchange, request, PAGE_BYTES_MAX);
      return parseEventPage(page, { after: after.seq, limit });
    },

    async *stream({ after, device }, signal) {
      const orders = features.includes(ORDERS_FEATURE) ? "&orders=1" : "";
      const path = `${base}/events?${cursorQuery(after)}&inline=1${readerQuery(device)}${orders}`;
      const accept = "text/event-stream";
      const idleMs = HEARTBEAT_TIMEOUT_MS;
      const request = outgoing({ method: "GET", path, accept, idleMs, signal });
      try {
        yield* streamMessages(await send(exchange, request, accept), after.seq);
      } catch (error) {
        if (!signal.aborted) throw error;
        return;
      }
      if (!signal.aborted) {
        throw new SyncedError("server_unreachable", "The server ended the event stream");
      }
    },

    async postOps(batch, signal) {
      const request = postJson("ops", batch, signal);
      const ask = () => sendForJson(exchange, request, PAGE_BYTES_MAX);
      return parseBatchResult(await attempt(request, ask), batch);
    },

    async wanted(signal) {
      const request = outgoing({ method: "GET", path: `${base}/chunks/wanted`, signal });
      try {
        return parseWanted(await sendForJson(exchange, request, PAGE_BYTES_MAX));
      } catch (error) {
        if (error instanceof SyncedError && error.code === "not_found") return [];
        throw error;
      }
    },

    async missing(digests, signal) {
      const request = postJson("chunks/missing", { digests }, signal);
      const ask = () => sendForJson(exchange, request, PAGE_BYTES_MAX);
      return parseMissing(await attempt(request, ask), digests);
    },

    putObjects: (objects, signal) => putPack(encodePack(objects), signal),
    putPack,

    async *fetchObjects(digests, signal, memory) {
      if (digests.length === 0) return;
      const accept = PACK_MEDIA_TYPE;
      const request = { ...postJson("chunks/fetch", { digests }, signal), accept };
      const ask = () => send(exchange, request, PACK_MEDIA_TYPE);
      yield* verifiedObjects(await attempt(request, ask), digests, memory);
    },

    async hasContent(sha256, signal) {
      const path = `${base}/contents/${sha256}`;
      // One byte is enough to know.
      const request = outgoing({ method: "GET", path, accept: BYTES, range: "bytes=0-0", signal });
      try {
        const answer = await send(exchange, request, BYTES);
        for await (const piece of answer.pieces()) void piece;
        return true;
      } catch (error) {
        if (error instanceof SyncedError && ABSENT.has(error.code)) return false;
        throw error;
      }
    },

    async hadVersion(path, sha256, signal) {
      const query = new URLSearchParams({ path, limit: String(EVENTS_PER_PAGE_MAX) });
      for (let before = Number.MAX_SAFE_INTEGER; ; ) {
        const request = outgoing({ method: "GET", path: `${base}/history?${query}`, signal });
        try {
          const answer = await sendForJson(exchange, request, PAGE_BYTES_MAX);
          const { digests, next } = parseHistoryPart(answer, before, EVENTS_PER_PAGE_MAX);
          if (digests.has(sha256) || next === undefined) return digests.has(sha256);
          before = next;
          query.set("before", String(next));
        } catch (error) {
          if (error instanceof SyncedError && error.code === "not_found") return false;
          throw error;
        }
      }
    },

    async tree(page, signal) {
      const after = page.after === undefined ? "" : `&after=${page.after}`;
      const path = `${base}/tree?limit=${page.limit}${after}`;
      const request = outgoing({ method: "GET", path, signal });
      return parseTreePage(await sendForJson(exchange, request, PAGE_BYTES_MAX), page);
    },

    async index({ seq, after, limit }, signal) {
      const query = new URLSearchParams({ limit: String(limit) });
      if (seq !== undefined) query.set("seq", String(seq));
      if (after !== undefined) query.set("after", after);
      const request = outgoing({ method: "GET", path: `${base}/index?${query}`, signal });
      return parseIndexPage(await sendForJson(exchange, request, PAGE_BYTES_MAX), limit);
    },

    async reportDevice(device, report, signal) {
      const request = outgoing({
        method: "PUT",
        path: `${base}/devices/${device}`,
        contentType: "application/json",
        body: JSON.stringify(takenOf(report, features)),
        signal,
      });
      await sendForNothing(request);
    },

    async orders(device, signal) {
      if (!features.includes(ORDERS_FEATURE)) return [];
      const request = outgoing({ method: "GET", path: `${base}/devices/${device}/orders`, signal });
      return parseOrders(await sendForJson(exchange, request, PAGE_BYTES_MAX));
    },

    async orderDone(device, order, signal) {
      const path = `${base}/devices/${device}/orders/${order}`;
      await sendForNothing(outgoing({ method: "DELETE", path, signal }));
    },
  };
}

/** The fields that the server takes. An older one refuses what it does not know. */
function takenOf(report: DeviceReport, features: readonly string[]): DeviceReport {
  const { name, applied, paused: _paused, held, ...state } = report;
  if (features.includes(ORDERS_FEATURE)) return report;
  if (!features.includes(STATE_FEATURE)) return { name, applied };
  if (held === undefined) return { name, applied, ...state };
  const { id, direction, reason, count } = held;
  return { name, applied, ...state, held: { id, direction, reason, count } };
}

const BYTES = "application/octet-stream";

function cursorQuery(cursor: { epoch: string; seq: number; hash: string }): string {
  return `after=${cursor.seq}&epoch=${cursor.epoch}&hash=${cursor.hash}`;
}

function readerQuery(device: string | undefined): string {
  return device === undefined ? "" : `&device=${device}`;
}

async function* streamMessages(
  answer: Answer,
  after: number,
): AsyncGenerator<StreamMessage, void, undefined> {
  const decoder = new EventStreamDecoder();
  let expected = after + 1;
  for await (const piece of answer.pieces()) {
    for (const data of decoder.push(piece)) {
      if (data === undefined) {
        yield { kind: "heartbeat" };
        continue;
      }
      const message = parseStreamMessage(parseAnsweredJson(data));
      if (message.kind === "passed") {
        if (message.seq < expected) throw violation(`event ${message.seq} was passed over twice`);
        expected = message.seq + 1;
      } else if (message.kind === "event") {
        const { seq } = message.event;
        if (seq !== expected) throw violation(`event ${seq} came instead of ${expected}`);
        expected++;
      }
      yield message;
    }
  }
}

/**
 * Yields the objects in the order asked for and no others, after checking the digest of each [C5].
 */
async function* verifiedObjects(
  answer: Answer,
  digests: readonly Digest[],
  memory?: ObjectMemory,
): AsyncGenerator<PackObject, void, undefined> {
  const decoder = new PackDecoder({
    ...(memory === undefined ? undefined : { memory }),
    packBytesMax: digests.length * (PACK_HEADER_BYTES + OBJECT_SIZE_BYTES_MAX),
    objectsMax: OBJECTS_PER_REQUEST_MAX,
  });
  let count = 0;
  try {
    for await (const piece of answer.pieces()) {
      for (const object of decoder.push(piece)) {
        if (object.digest !== digests[count]) {
          throw violation(`it sent ${object.digest} instead of ${digests[count] ?? "an end"}`);
        }
        count++;
        yield object;
      }
    }
  } catch (error) {
    if (!(error instanceof SyncedError) || !PACK_CODES.has(error.code)) throw error;
    throw new SyncedError("protocol_violation", `Cannot read the pack: ${error.message}`, {
      cause: error,
    });
  }
  if (count !== digests.length) {
    // A body without a length may end early and look whole (F32). The same request may succeed
    // later.
    throw new SyncedError("server_unreachable", "The server broke off while it sent objects");
  }
}

/** The codes of a pack that cannot be decoded. */
const PACK_CODES: ReadonlySet<string> = new Set([
  "invalid_chunk",
  "hash_mismatch",
  "body_too_large",
]);

function outOfReach(folder: FolderName, cause: SyncedError): SyncedError {
  return new SyncedError(
    "forbidden",
    `Cannot sync "${folder}": the token is not for a folder of that name on the server; name one ` +
      "that it is for with --folder",
    { cause },
  );
}

function violation(reason: string): SyncedError {
  return new SyncedError("protocol_violation", `Cannot use the answer: ${reason}`);
}
