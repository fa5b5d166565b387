/** Words for what the routes about the past answer. Names are escaped. Rules: E3-E5. */
import { printableName } from "../core/printable.ts";
import type { DiffEntry, ListEntry, LogRow, Touch, Version } from "../protocol/time-answers.ts";
import { count } from "./progress.ts";
import { formatBytes } from "./progress-bar.ts";
import { shownTime } from "./shown-time.ts";

const DEVICE_COLUMNS = 12;
const SEQS_COLUMNS = 11;
const ACTION_COLUMNS = 8;
const SIZE_COLUMNS = 10;

/** `2026-11-27 18:04:05  1180-1233    NAS           delete    photos/ (54)`. */
export function logLine(row: LogRow): string {
  const { seq, lastSeq, from, path, size } = row;
  const seqs = seq === lastSeq ? String(seq) : `${seq}-${lastSeq}`;
  const place = row.count > 1 ? `${shownDirectory(path)} (${row.count})` : printableName(path);
  const before = from === undefined ? "" : `${printableName(from)} -> `;
  const bytes = size === undefined ? "" : `  ${formatBytes(size)}`;
  return `${whoAndWhat(row, seqs)}  ${before}${place}${bytes}${notKept(row)}`;
}

/** `2026-11-27 18:04:05  1234         PHONE         update    12 kB  notes/plan.md`. */
export function versionLine(version: Version): string {
  const { seq, size, path, from } = version;
  const bytes = (size === undefined ? "" : formatBytes(size)).padEnd(SIZE_COLUMNS);
  const before = from === undefined ? "" : `${printableName(from)} -> `;
  const place = `${before}${printableName(path)}${notKept(version)}`;
  return `${whoAndWhat(version, String(seq))}  ${bytes}  ${place}`;
}

/** Why its bytes cannot be had (U7). */
function notKept({ gone }: { readonly gone?: boolean | undefined }): string {
  return gone === true ? "  (bytes gone: older than the server keeps versions)" : "";
}

/** Of what is deleted, who deleted it. */
export function blameLine(entry: ListEntry, path: string): string {
  const touch = entry.deleted ?? entry.last;
  const place = printableName(path);
  return `${whoAndWhat(touch, String(touch.seq))}  ${place}${entry.kind === "directory" ? "/" : ""}`;
}

function whoAndWhat({ time, deviceName, action }: Touch, seqs: string): string {
  const device = printableName(deviceName).padEnd(DEVICE_COLUMNS);
  const what = action.padEnd(ACTION_COLUMNS);
  return `${shownTime(time)}  ${seqs.padEnd(SEQS_COLUMNS)}  ${device}  ${what}`;
}

/** As `ls -l`: kind, size, the file's own time, name, and who changed it last. */
export function entryLine(entry: ListEntry, path: string): string {
  const kind = { file: entry.executable === true ? "x" : "-", directory: "d", symlink: "l" };
  const size = entry.size === undefined ? "-" : formatBytes(entry.size);
  const time = entry.mtimeNs === undefined ? "-" : shownTime(timeMsOf(entry.mtimeNs));
  const { deviceName, seq } = entry.last;
  const columns = [
    kind[entry.kind],
    size.padStart(SIZE_COLUMNS),
    time.padEnd(19),
    printableName(deviceName).padEnd(DEVICE_COLUMNS),
    String(seq).padEnd(SEQS_COLUMNS),
  ];
  return `${columns.join("  ")}  ${nameLine(entry, path)}`;
}

/** A name, marked as directory or symlink, and as deleted with who did it. */
export function nameLine(entry: ListEntry, path: string): string {
  const target = entry.target === undefined ? "" : ` -> ${printableName(entry.target)}`;
  const name = `${printableName(path)}${entry.kind === "directory" ? "/" : target}`;
  const { deleted } = entry;
  if (deleted === undefined) return name;
  return `${name}  (deleted by ${printableName(deleted.deviceName)}, event ${deleted.seq})`;
}

export function shownDirectory(path: string): string {
  return path === "" ? "./" : `${printableName(path)}/`;
}

/** `54 files, 212.0 MiB`. */
export function filesAndBytes(files: number, bytes: number): string {
  return `${count(files, "file")}, ${formatBytes(bytes)}`;
}

function timeMsOf(mtimeNs: string): number {
  return Number(BigInt(mtimeNs) / 1_000_000n);
}

const DIFF_SIGNS: Readonly<Record<DiffEntry["what"], string>> = {
  added: "+",
  removed: "-",
  modified: "M",
  moved: "R",
};

/** `R  a.txt -> b.txt  NAS 1180`. */
export function diffLine(entry: DiffEntry): string {
  const { what, path, from, kind, inside, before, after, last } = entry;
  const earlier = from === undefined ? "" : `${printableName(from)} -> `;
  const place = `${printableName(path)}${kind === "directory" ? "/" : ""}`;
  const sizes = [before?.size, after?.size].filter((size) => size !== undefined).map(formatBytes);
  const size = what === "moved" ? "" : sizes.join(" -> ");
  const notes = [inside === undefined ? "" : `${inside} inside`, size].filter((one) => one !== "");
  const note = notes.length === 0 ? "" : ` (${notes.join(", ")})`;
  return `${DIFF_SIGNS[what]}  ${earlier}${place}${note}  ${printableName(last.deviceName)} ${last.seq}`;
}
