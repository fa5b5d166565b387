/**
 * Plain file access for people and curl: files by path, contents by SHA-256. A PUT or DELETE
 * becomes an ordinary op.
 * Rules: H7. Paths are looked up in the tree and never opened on a disk (B6).
 */
import { type Digest, parseDigest } from "../core/digest.ts";
import { assert, SyncedError } from "../core/error.ts";
import { type DeviceId, type FolderName, parseId } from "../core/identifier.ts";
import { CHUNK_SIZE_BYTES_MAX, READ_AHEAD_OBJECTS, UPLOAD_STEP_BYTES } from "../core/limits.ts";
import type { FileContent } from "../core/node.ts";
import { baseName, parsePath } from "../core/path.ts";
import { parseChoice, parseSequenceText } from "../protocol/parse-request.ts";
import { HTTP_DEVICE } from "../server/device-names.ts";
import { bytesAnswer, emptyAnswer, jsonAnswer, streamOf } from "./answer.ts";
import { declaredLength, readStream } from "./body.ts";
import { etagOf, parseMatch, parseRange, wantsRange } from "./conditional.ts";
import {
  type Call,
  type Route,
  type RouterOptions,
  requiredParameter,
  segment,
  sendingOf,
} from "./endpoint.ts";
import { folderOf } from "./json-routes.ts";
import { VIEW_HEAD_BYTES, viewTypeOf } from "./view-type.ts";

/**
 * Up to one chunk is read before it is sent. Bun gives a stream no Content-Length; and damage found
 * before the answer is an error, not a broken body.
 */
const WHOLE_BYTES_MAX = CHUNK_SIZE_BYTES_MAX;
/** A download holds the chunks that are read ahead, and the one on its way. */
export const DOWNLOAD_BYTES = (READ_AHEAD_OBJECTS + 2) * CHUNK_SIZE_BYTES_MAX;
/** An upload holds what is stored in one step, and a piece that is being cut. */
const UPLOAD_BYTES = UPLOAD_STEP_BYTES + 4 * CHUNK_SIZE_BYTES_MAX;

export function fileRoutes(options: RouterOptions): readonly Route[] {
  return [filesRoute(options), contentsRoute(options)];
}

function filesRoute(options: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/files",
    methods: {
      GET: {
        needs: "read",
        parameters: ["path", "seq", "as", "ticket"],
        answers: "bytes",
        head: true,
        handle: (call) => getFile(options, call),
      },
      PUT: {
        needs: "write",
        parameters: ["path", "device"],
        takes: "bytes",
        handle: (call) => putFile(options, call),
      },
      DELETE: {
        needs: "write",
        parameters: ["path", "device"],
        handle: (call) => deleteFile(options, call),
      },
    },
  };
}

function contentsRoute(options: RouterOptions): Route {
  return {
    pattern: "/v1/folders/:folder/contents/:sha256",
    methods: {
      GET: {
        needs: "read",
        parameters: ["as", "ticket"],
        answers: "bytes",
        head: true,
        async handle(call) {
          const folder = folderOf(call);
          const sha256 = parseDigest(segment(call, 5));
          const found = await options.sequencer.contentBySha256(folder, sha256);
          if (found === undefined) {
            throw new SyncedError("not_found", `Cannot get ${sha256}: the folder never had it`);
          }
          const { content } = found;
          return sendContent(options, call, { folder, content, disposition: "attachment" });
        },
      },
    },
  };
}

async function getFile(options: RouterOptions, call: Call): Promise<Response> {
  const { sequencer } = options;
  const folder = folderOf(call);
  const path = pathOf(call);
  const text = call.query.get("seq");
  const seq = text === undefined ? undefined : parseSequenceText(text, "seq");
  if (seq !== undefined && seq > (await sequencer.folder(folder)).head) {
    throw new SyncedError("cursor_ahead", `Cannot get "${path}": there is no event ${seq} yet`);
  }
  const node = await sequencer.nodeAt(folder, path, seq);
  if (node === undefined)
    throw new SyncedError("not_found", `Cannot get "${path}": nothing is there`);
  const { content } = node;
  if (content.kind !== "file") {
    throw new SyncedError("not_found", `Cannot get "${path}": it is a ${content.kind}, not a file`);
  }
  return sendContent(options, call, { folder, content, disposition: attachment(baseName(path)) });
}

export async function sendContent(
  options: RouterOptions,
  call: Call,
  file: {
    readonly folder: FolderName;
    readonly content: FileContent;
    readonly disposition: string;
  },
): Promise<Response> {
  const { sequencer } = options;
  const { headers } = call.request;
  const { content } = file;
  await sequencer.requireKept(file.folder, content);
  const etag = etagOf(content.sha256);
  const ifMatch = parseMatch(headers.get("if-match"), "If-Match");
  if (ifMatch !== undefined && ifMatch !== "*" && !ifMatch.strong.includes(content.sha256)) {
    throw new SyncedError("precondition_failed", "Cannot get the file: it has other bytes by now");
  }
  const ifNoneMatch = parseMatch(headers.get("if-none-match"), "If-None-Match");
  if (ifNoneMatch === "*" || ifNoneMatch?.any.includes(content.sha256) === true) {
    return emptyAnswer(304, { etag });
  }
  const rangeText = wantsRange(headers.get("if-range"), etag) ? headers.get("range") : null;
  const range = parseRange(rangeText, content.size);
  const { start, end } = range ?? { start: 0, end: content.size };
  const answerHeaders: Record<string, string> = {
    "accept-ranges": "bytes",
    "content-disposition": file.disposition,
    "content-length": String(end - start),
    "content-type": "application/octet-stream",
    etag,
    ...(await viewHeaders(sequencer, call, file)),
  };
  if (range !== undefined) {
    answerHeaders["content-range"] = `bytes ${start}-${end - 1}/${content.size}`;
  }
  const status = range === undefined ? 200 : 206;
  if (call.request.method === "HEAD") return bytesAnswer(null, answerHeaders, status);
  const { memory } = call;
  if (end - start <= WHOLE_BYTES_MAX) {
    await memory.hold(end - start);
    const bytes = await sequencer.readContent(file.folder, content, range);
    return bytesAnswer(await collect(bytes, end - start), answerHeaders, status);
  }
  const onEnd = await memory.keep(DOWNLOAD_BYTES);
  try {
    const bytes = await sequencer.readContent(file.folder, content, range);
    const body = streamOf(whileAdmitted(call, bytes), { ...sendingOf(options, call), onEnd });
    return bytesAnswer(body, answerHeaders, status);
  } catch (error) {
    onEnd();
    throw error;
  }
}

/** Headers for a browser that shows the file; none for one that saves it. */
async function viewHeaders(
  sequencer: RouterOptions["sequencer"],
  call: Call,
  {
    folder,
    content,
    disposition,
  }: {
    readonly folder: FolderName;
    readonly content: FileContent;
    readonly disposition: string;
  },
): Promise<Readonly<Record<string, string>>> {
  const as = call.query.get("as");
  if (as === undefined) return {};
  parseChoice(as, "as", ["view"]);
  const length = Math.min(content.size, VIEW_HEAD_BYTES);
  const head = await sequencer.readContent(folder, content, { start: 0, end: length });
  const { type, policy } = viewTypeOf(await collect(head, length));
  return {
    "content-disposition": disposition.replace(/^attachment/, "inline"),
    "content-security-policy": policy,
    "content-type": type,
  };
}

/** A long download breaks off when its token is revoked. */
async function* whileAdmitted(
  call: Call,
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void> {
  for await (const piece of pieces) {
    call.confirm();
    yield piece;
  }
}

async function collect(
  pieces: AsyncIterable<Uint8Array>,
  length: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const whole = new Uint8Array(length);
  let offset = 0;
  for await (const piece of pieces) {
    whole.set(piece, offset);
    offset += piece.length;
  }
  assert(offset === length, "a content has as many bytes as it says");
  return whole;
}

async function putFile({ sequencer, clock }: RouterOptions, call: Call): Promise<Response> {
  const { headers } = call.request;
  const folder = folderOf(call);
  const path = pathOf(call);
  if (headers.has("content-range")) {
    // RFC 9110, 14.5: a server must refuse a part that it would store as the whole.
    throw new SyncedError("invalid_parameter", "Cannot put a part of a file: send it whole");
  }
  const ifNoneMatch = parseMatch(headers.get("if-none-match"), "If-None-Match");
  if (ifNoneMatch !== undefined && ifNoneMatch !== "*") {
    throw new SyncedError("invalid_parameter", 'Cannot use If-None-Match: expected "*" with PUT');
  }
  const { request, memory } = call;
  const { fileBytesMax } = sequencer;
  const declared = declaredLength(request);
  if (fileBytesMax !== undefined && declared !== undefined && declared > fileBytesMax) {
    const why = `the server takes files of up to ${fileBytesMax} bytes`;
    throw new SyncedError("file_too_large", `Cannot put ${JSON.stringify(path)}: ${why}`);
  }
  await memory.hold(Math.min(declared ?? UPLOAD_BYTES, UPLOAD_BYTES));
  const { outcome, node, content, seq } = await sequencer.putFile(folder, {
    path,
    body: readStream(call, clock),
    device: deviceOf(call),
    ...ifMatchOf(call),
    ...(ifNoneMatch === undefined ? undefined : { ifNoneMatch: true }),
  });
  const { sha256, size } = content;
  const status = outcome === "created" ? 201 : 200;
  return jsonAnswer({ outcome, path, id: node, seq, sha256, size }, status, {
    etag: etagOf(sha256),
  });
}

async function deleteFile({ sequencer }: RouterOptions, call: Call): Promise<Response> {
  const folder = folderOf(call);
  await sequencer.deleteFile(folder, {
    path: pathOf(call),
    device: deviceOf(call),
    ...ifMatchOf(call),
  });
  return emptyAnswer(204);
}

/** Whose change it is. */
function deviceOf({ query }: Call): DeviceId {
  const device = query.get("device");
  return device === undefined ? HTTP_DEVICE : parseId<DeviceId>(device);
}

/** The validated path; nothing uses the raw one. */
function pathOf(call: Call): string {
  return parsePath(requiredParameter(call, "path")).join("/");
}

function ifMatchOf(call: Call): { readonly ifMatch?: readonly Digest[] | "*" } {
  const match = parseMatch(call.request.headers.get("if-match"), "If-Match");
  if (match === undefined) return {};
  return { ifMatch: match === "*" ? match : match.strong };
}

/** RFC 6266 with RFC 8187. The raw name never stands in a header (B69). */
export function attachment(name: string): string {
  const encoded = encodeURIComponent(name).replace(/['()*]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase()}`;
  });
  return `attachment; filename*=UTF-8''${encoded}`;
}
