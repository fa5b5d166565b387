/**
 * A directory as a zip: stored, not compressed, written while it is sent, its length known before.
 * Rules: E12, H7, H21, K7.
 */
import { makeZip, predictLength } from "client-zip";
import type { FolderName } from "../core/identifier.ts";
import type { FileContent } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import { parseSequenceText } from "../protocol/parse-request.ts";
import type { Archive, ArchiveEntry, ArchiveRequest } from "../server/archive.ts";
import type { History } from "../server/history.ts";
import { bytesAnswer, streamOf } from "./answer.ts";
import { type Call, type Route, type RouterOptions, requireReader, sendingOf } from "./endpoint.ts";
import { attachment, DOWNLOAD_BYTES } from "./file-routes.ts";
import { folderOf } from "./json-routes.ts";
import { Turns } from "./turns.ts";

/** A content with its digests. */
const ENTRY_BYTES = 500;
const PERMISSIONS = 0o644;
const PERMISSIONS_EXECUTABLE = 0o755;
/** The years of a zip begin with 1980, and end with 2107. */
const TIME_MS_MIN = 315_619_200_000;
const TIME_MS_MAX = 4_354_732_800_000;

export function archiveRoutes(options: RouterOptions): readonly Route[] {
  const { history } = options;
  if (history === undefined) return [];
  const turns = archiveTurns(options);
  return [
    {
      pattern: "/v1/folders/:folder/archive",
      methods: {
        GET: {
          needs: "read",
          parameters: ["path", "at", "ticket"],
          answers: "bytes",
          head: true,
          handle(call) {
            const path = call.query.get("path") ?? "";
            const at = call.query.get("at");
            return sendArchive(options, call, {
              folder: folderOf(call),
              history,
              turns,
              path: path === "" ? "" : parsePath(path).join("/"),
              at: at === undefined ? undefined : parseSequenceText(at, "at"),
            });
          },
        },
      },
    },
  ];
}

interface SentDirectory extends ArchiveRequest {
  readonly folder: FolderName;
  readonly history: History;
  readonly turns: Turns;
}

/** One archive is listed at a time, since all that it will hold stands in memory then. */
export function archiveTurns({ clock }: RouterOptions): Turns {
  return new Turns(clock, 1);
}

export async function sendArchive(
  options: RouterOptions,
  call: Call,
  { folder, history, turns, path, at }: SentDirectory,
): Promise<Response> {
  const { memory, request } = call;
  const held = [await memory.keep(DOWNLOAD_BYTES)];
  const release = () => {
    for (const one of held) one();
  };
  try {
    const archive = await turns.take(() => {
      requireReader(call);
      return history.archive(folder, { path, at });
    });
    const headers = {
      "content-disposition": attachment(`${archive.name}.zip`),
      "content-length": String(predictLength(archive.entries.map(described))),
      "content-type": "application/zip",
    };
    if (request.method === "HEAD") {
      release();
      return bytesAnswer(null, headers);
    }
    held.push(memory.keepAtOnce(memoryOf(archive)));
    const zip = makeZip(inputsOf(options, call, { folder, entries: archive.entries }));
    const body = streamOf(zip, { ...sendingOf(options, call), onEnd: release });
    return bytesAnswer(body, headers);
  } catch (error) {
    release();
    throw error;
  }
}

async function* inputsOf(
  { sequencer }: RouterOptions,
  call: Call,
  { folder, entries }: Pick<SentDirectory, "folder"> & Pick<Archive, "entries">,
) {
  for (const entry of entries) {
    // The token may have been revoked while the reader took what came before.
    call.confirm();
    if (entry.kind === "directory") yield directory(entry.path);
    else if (entry.kind === "text") yield { ...described(entry), input: entry.text };
    else {
      const input = await sequencer.readContent(folder, entry.content);
      yield { ...described(entry), mode: modeOf(entry.content), input };
    }
  }
}

/** A path stands there as what will be read, and in the list at the zip's end. */
function memoryOf({ entries, namesLength }: Archive): number {
  return entries.length * ENTRY_BYTES + 2 * namesLength;
}

/** Some systems take a backslash for a slash, so that the name would lead elsewhere there. */
function plain(path: string): string {
  return path.replaceAll("\\", "\uff3c");
}

function directory(path: string) {
  return { name: `${plain(path)}/`, lastModified: TIME_MS_MIN };
}

/** Name, time and size: a zip is as long as these say. */
function described(entry: ArchiveEntry) {
  switch (entry.kind) {
    case "directory":
      return directory(entry.path);
    case "text": {
      const size = encoder.encode(entry.text).length;
      return { name: plain(entry.path), lastModified: TIME_MS_MIN, size };
    }
    case "file": {
      const { size, mtimeNs } = entry.content;
      const lastModified = Math.min(Math.max(Number(mtimeNs) / 1e6, TIME_MS_MIN), TIME_MS_MAX);
      return { name: plain(entry.path), lastModified, size };
    }
  }
}

function modeOf({ executable }: FileContent): number {
  return executable ? PERMISSIONS_EXECUTABLE : PERMISSIONS;
}

const encoder = new TextEncoder();
