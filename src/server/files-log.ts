/**
 * Events as people read them. The event and the content before it decide which action it was. Pure.
 * Rules: M2, M7.
 */
import type { ServedEvent } from "../core/event.ts";
import { type Content, sameBytes } from "../core/node.ts";
import type { FileAction, FilesLogRow } from "../ports/event-sink.ts";
import type { DeviceNames } from "./device-names.ts";

/**
 * @param previous the node's content before a modify, else undefined. If it is unknown, the bytes
 * count as changed.
 */
export function fileAction(event: ServedEvent, previous: Content | undefined): FileAction {
  const { kind, content } = event;
  switch (kind) {
    case "create":
      if (event.baseContent > 0) return "restore";
      if (content.kind === "directory") return "mkdir";
      return content.kind === "symlink" ? "symlink" : "upload";
    case "modify":
      if (previous !== undefined && sameBytes(previous, content)) return "metadata";
      return content.kind === "symlink" ? "symlink" : "update";
    case "move":
      return "rename";
    case "delete":
      return content.kind === "directory" ? "rmdir" : "delete";
  }
}

export function filesLogRow(
  event: ServedEvent,
  previous: Content | undefined,
  names: DeviceNames,
): FilesLogRow {
  const { seq, time, path, from, content, device } = event;
  const row = {
    seq,
    time,
    action: fileAction(event, previous),
    path,
    device: names(device),
    deviceId: device,
  };
  return {
    ...row,
    ...(from === undefined ? undefined : { oldPath: from }),
    ...(content.kind === "file" ? { size: content.size, sha256: content.sha256 } : undefined),
  };
}
