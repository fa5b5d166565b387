/**
 * Routes for chunks and manifest objects: tell which are missing, take packs, send packs. Rules:
 * C5, C6, O6.
 */
import { SyncedError } from "../core/error.ts";
import { OBJECTS_PER_REQUEST_MAX, PACK_BYTES_MAX } from "../core/limits.ts";
import type { PackObject } from "../protocol/messages.ts";
import { decodePack, PACK_MEDIA_TYPE, packPieces } from "../protocol/pack.ts";
import { parseDigests } from "../protocol/parse-request.ts";
import { bytesAnswer, jsonAnswer, streamOf } from "./answer.ts";
import { readBody, readJson } from "./body.ts";
import type { Route, RouterOptions } from "./endpoint.ts";
import { folderOf } from "./json-routes.ts";

/** 10,000 digests of 64 digits, quotes and commas, with room for spaces. */
const DIGESTS_BODY_BYTES_MAX = OBJECTS_PER_REQUEST_MAX * 80;

export function objectRoutes(options: RouterOptions): readonly Route[] {
  return [missingRoute(options), uploadRoute(options), fetchRoute(options)];
}

function missingRoute({ sequencer, clock }: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/chunks/missing",
    methods: {
      POST: {
        takes: "json",
        async handle(call) {
          const folder = folderOf(call);
          const bounds = { bytesMax: DIGESTS_BODY_BYTES_MAX, clock };
          const digests = parseDigests(await readJson(call.request, bounds));
          return jsonAnswer({ missing: await sequencer.missing(folder, digests) });
        },
      },
    },
  };
}

function uploadRoute({ sequencer, clock }: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/chunks",
    methods: {
      POST: {
        takes: "pack",
        async handle(call) {
          const folder = folderOf(call);
          // Refuses an unknown folder before it reads 32 MiB.
          await sequencer.folder(folder);
          const pack = await readBody(call.request, { bytesMax: PACK_BYTES_MAX, clock });
          const objects = decodePack(pack);
          await sequencer.putObjects(folder, objects);
          return jsonAnswer({ stored: objects.length });
        },
      },
    },
  };
}

function fetchRoute({ sequencer, clock, onError }: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/chunks/fetch",
    methods: {
      POST: {
        takes: "json",
        answers: "pack",
        async handle(call) {
          const folder = folderOf(call);
          const bounds = { bytesMax: DIGESTS_BODY_BYTES_MAX, clock };
          const digests = parseDigests(await readJson(call.request, bounds));
          if (digests.length === 0) {
            throw new SyncedError("invalid_parameter", "Cannot fetch objects: no digest is named");
          }
          // The first object decides between an error and a body, because a body that has begun can
          // only break.
          const objects = sequencer.readObjects(folder, digests)[Symbol.asyncIterator]();
          const first = await objects.next();
          const body = streamOf(pieces(first, objects), (error) => onError(error, call.requestId));
          return bytesAnswer(body, { "content-type": PACK_MEDIA_TYPE });
        },
      },
    },
  };
}

async function* pieces(
  first: IteratorResult<PackObject, unknown>,
  rest: AsyncIterator<PackObject, unknown>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let item = first; item.done !== true; item = await rest.next()) {
      yield* packPieces([item.value]);
    }
  } finally {
    await rest.return?.();
  }
}
