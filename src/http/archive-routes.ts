/**
 * A directory as a zip: stored, not compressed, written while it is sent, its length known before.
 * Rules: E12, H7, H21, K7.
 */
import { makeZip, predictLength } from "client-zip";
import type { FolderName } from "../core/identifier.ts";
import type { FileContent } from "../core/node.ts";
import { parsePath } from "../core/path.ts";
import { parseSequenceText } from "../protocol/parse-request.ts";
import type { ArchiveEntry, ArchiveRequest } from "../server/archive.ts";
import type { History } from "../server/history.ts";
import { bytesAnswer, streamOf } from "./answer.ts";
import { type Call, type Route, type RouterOptions, sendingOf } from "./endpoint.ts";
import { attachment, DOWNLOAD_BYTES } from "./file-routes.ts";
import { folderOf } from "./json-routes.ts";

const PERMISSIONS = 0o644;
const PERMISSIONS_EXECUTABLE = 0o755;
/** The years of a zip begin with 1980, and end with 2107. */
const TIME_MS_MIN = 315_619_200_000;
const TIME_MS_MAX = 4_354_732_800_000;

export function archiveRoutes(options: RouterOptions): readonly Route[] {
  const { history } = options;
  if (history === undefined) return [];
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
}

export async function sendArchive(
  options: RouterOptions,
  call: Call,
  { folder, history, path, at }: SentDirectory,
): Promise<Response> {
  const { sequencer } = options;
  const archive = await history.archive(folder, { path, at });
  const { entries } = archive;
  const headers = {
    "content-disposition": attachment(`${archive.name}.zip`),
    "content-length": String(predictLength(entries.map(described))),
    "content-type": "application/zip",
  };
  if (call.request.method === "HEAD") return bytesAnswer(null, headers);
  async function* inputs() {
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
  const onEnd = await call.memory.keep(DOWNLOAD_BYTES);
  const body = streamOf(makeZip(inputs()), { ...sendingOf(options, call), onEnd });
  return bytesAnswer(body, headers);
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
