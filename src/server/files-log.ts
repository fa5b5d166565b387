/**
 * Events as people read them. The event and the content before it decide which action it was. Pure.
 * Rules: M2, M7.
 */
import type { ServedEvent } from "../core/event.ts";
import type { DeviceId } from "../core/identifier.ts";
import { type Content, sameBytes } from "../core/node.ts";
import type { FileAction, FilesLogRow } from "../ports/event-sink.ts";

/** Changes through `PUT files` and `DELETE files` carry this device. */
const HTTP_DEVICE = "0".repeat(32);
const HTTP_DEVICE_NAME = "http";

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

/** @param names of the devices, as far as they are known. */
export function filesLogRow(
  event: ServedEvent,
  previous: Content | undefined,
  names: ReadonlyMap<DeviceId, string>,
): FilesLogRow {
  const { seq, time, path, from, content, device } = event;
  const row = {
    seq,
    time,
    action: fileAction(event, previous),
    path,
    device: names.get(device) ?? (device === HTTP_DEVICE ? HTTP_DEVICE_NAME : device),
    deviceId: device,
  };
  return {
    ...row,
    ...(from === undefined ? undefined : { oldPath: from }),
    ...(content.kind === "file" ? { size: content.size, sha256: content.sha256 } : undefined),
  };
}
