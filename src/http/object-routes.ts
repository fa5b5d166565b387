/**
 * Routes for chunks and manifest objects: tell which are missing, take packs, send packs. Rules:
 * C5, C6, O6.
 */
import type { Digest } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { OBJECTS_PER_REQUEST_MAX, PACK_BYTES_MAX } from "../core/limits.ts";
import { decodePack, PACK_MEDIA_TYPE, PackWriter } from "../protocol/pack.ts";
import { parseDigests } from "../protocol/parse-request.ts";
import { bytesAnswer, jsonAnswer, streamOf } from "./answer.ts";
import { readBody, readJson } from "./body.ts";
import { type Route, type RouterOptions, sendingOf } from "./endpoint.ts";
import { folderOf } from "./json-routes.ts";
import { PackMemory, SMALL_PACK_BYTES } from "./pack-memory.ts";

/** 10,000 digests of 64 digits, quotes and commas, with room for spaces. */
const DIGESTS_BODY_BYTES_MAX = OBJECTS_PER_REQUEST_MAX * 80;

export function objectRoutes(options: RouterOptions): readonly Route[] {
  const buffers = new PackMemory();
  return [
    missingRoute(options),
    wantedRoute(options),
    uploadRoute(options, buffers),
    fetchRoute(options, buffers),
  ];
}

function missingRoute({ sequencer, clock }: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/chunks/missing",
    methods: {
      POST: {
        needs: "write",
        takes: "json",
        async handle(call) {
          const folder = folderOf(call);
          const bounds = { bytesMax: DIGESTS_BODY_BYTES_MAX, clock };
          const digests = parseDigests(await readJson(call, bounds));
          return jsonAnswer({ missing: await sequencer.missing(folder, digests) });
        },
      },
    },
  };
}

function wantedRoute({ sequencer }: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/chunks/wanted",
    methods: {
      GET: {
        needs: "write",
        handle: async (call) => jsonAnswer({ wanted: await sequencer.wanted(folderOf(call)) }),
      },
    },
  };
}

function uploadRoute({ sequencer, clock }: RouterOptions, buffers: PackMemory): Route {
  return {
    pattern: "/v1/folders/:folder/chunks",
    methods: {
      POST: {
        needs: "write",
        takes: "pack",
        async handle(call) {
          const folder = folderOf(call);
          // Refuses an unknown folder before it reads 32 MiB.
          await sequencer.folder(folder);
          let taken: Uint8Array<ArrayBuffer> | undefined;
          const buffer = (lengthBytes: number) => {
            taken = buffers.take(lengthBytes);
            return taken;
          };
          const bounds = { bytesMax: PACK_BYTES_MAX, clock, buffer };
          const giveBack = () => {
            if (taken !== undefined) buffers.giveBack(taken, call.memory.isScarce);
          };
          const objects = await readBody(call, bounds)
            .then(decodePack)
            .catch((error) => {
              giveBack();
              throw error;
            });
          await sequencer.putObjects(folder, objects);
          // After trouble something may still be written from it.
          giveBack();
          return jsonAnswer({ stored: objects.length });
        },
      },
    },
  };
}

function fetchRoute(options: RouterOptions, buffers: PackMemory): Route {
  const { sequencer, clock } = options;
  return {
    pattern: "/v1/folders/:folder/chunks/fetch",
    methods: {
      POST: {
        needs: "read",
        takes: "json",
        answers: "pack",
        async handle(call) {
          const folder = folderOf(call);
          const bounds = { bytesMax: DIGESTS_BODY_BYTES_MAX, clock };
          const digests = parseDigests(await readJson(call, bounds));
          if (digests.length === 0) {
            throw new SyncedError("invalid_parameter", "Cannot fetch objects: no digest is named");
          }
          // The first block decides between an error and a body, because a body that has begun can
          // only break.
          const release = await call.memory.keep(2 * BLOCK_BYTES);
          const blocks = packBlocks(sequencer, { folder, digests, buffers });
          const onEnd = () => {
            release();
            void blocks.return();
          };
          const first = await blocks.next().catch((error) => {
            release();
            throw error;
          });
          const body = streamOf(continued(first, blocks), { ...sendingOf(options, call), onEnd });
          return bytesAnswer(body, { "content-type": PACK_MEDIA_TYPE });
        },
      },
    },
  };
}

/** Handed to the connection at once: sending it takes as long as reading the next block. */
const BLOCK_BYTES = 1024 * 1024;

interface PackRequest {
  readonly folder: FolderName;
  readonly digests: readonly Digest[];
  readonly buffers: PackMemory;
}

/**
 * Yields a pack in blocks. They stand in the same memory: a block holds until the next one is asked
 * for. The first one is small, as most packs are.
 */
async function* packBlocks(
  sequencer: RouterOptions["sequencer"],
  { folder, digests, buffers }: PackRequest,
): AsyncGenerator<Uint8Array, void> {
  let buffer = buffers.take(SMALL_PACK_BYTES);
  let pack = new PackWriter(buffer);
  const room = (lengthBytes: number) => pack.room(lengthBytes);
  for await (const { depth, digest, bytes } of sequencer.readObjects(folder, digests, room)) {
    let place = pack.room(bytes.length);
    if (place === undefined) {
      if (pack.bytes.length > 0) yield pack.bytes;
      if (buffer.length < 2 * BLOCK_BYTES) buffer = buffers.take(2 * BLOCK_BYTES);
      pack = new PackWriter(buffer);
      place = pack.room(bytes.length);
      assert(place !== undefined, "an object fits into an empty block");
    }
    if (place.byteOffset !== bytes.byteOffset || place.buffer !== bytes.buffer) place.set(bytes);
    pack.add({ depth, digest, lengthBytes: bytes.length });
    if (pack.bytes.length < BLOCK_BYTES) continue;
    yield pack.bytes;
    pack = new PackWriter(buffer);
  }
  // Short ones may be kept by a runtime until the connection takes them.
  if (pack.bytes.length > 0) yield pack.bytes.slice();
  // Only now: when a reader leaves, a block may still be on its way.
  buffers.giveBack(buffer);
}

async function* continued(
  first: IteratorResult<Uint8Array, void>,
  rest: AsyncGenerator<Uint8Array, void>,
): AsyncGenerator<Uint8Array, void> {
  try {
    if (first.done === true) return;
    yield first.value;
    yield* rest;
  } finally {
    await rest.return();
  }
}
