/** The lines of a text file that differ between two of its versions, as `diff -u` shows them. */
import { createTwoFilesPatch } from "diff";
import { parseDigest } from "../core/digest.ts";
import { printable, printableName } from "../core/printable.ts";
import type { PastApi } from "../protocol/past-api.ts";
import type { DiffEntry } from "../protocol/time-answers.ts";
import { verifiedContent } from "./cat.ts";
import { formatBytes } from "./progress-bar.ts";

/** A person reads no more; comparing takes time that grows with the square of the length. */
const SIDE_BYTES_MAX = 512 * 1024;
const TIME_OUT_MS = 500;

type Sides = Pick<DiffEntry, "before" | "after" | "kind" | "path" | "from">;

/** @returns undefined if no bytes of a file differ. */
export async function textDiff(api: PastApi, entry: Sides): Promise<string | undefined> {
  const { before, after, kind, path } = entry;
  if (kind !== "file" || before?.sha256 === after?.sha256) return undefined;
  const former = `a/${printableName(entry.from ?? path)}`;
  const present = `b/${printableName(path)}`;
  const [one, other] = [await textOf(api, before), await textOf(api, after)];
  if (one === undefined || other === undefined) {
    const sizes = [before, after].map((side) => formatBytes(side?.size ?? 0));
    return `Binary files ${former} and ${present} differ, ${sizes.join(" -> ")}\n`;
  }
  const names = [
    before === undefined ? "/dev/null" : former,
    after === undefined ? "/dev/null" : present,
  ] as const;
  const patch = createTwoFilesPatch(names[0], names[1], one, other, undefined, undefined, {
    timeout: TIME_OUT_MS,
  });
  if (patch === undefined) return `Files ${former} and ${present} differ in too many lines\n`;
  const text = patch.replace(/^=+\n/, "");
  return process.stdout.isTTY ? shownOnTerminal(text) : text;
}

/** @returns undefined if it is no text, or too long to be compared. */
async function textOf(
  api: PastApi,
  side: { readonly size?: number | undefined; readonly sha256?: string | undefined } | undefined,
): Promise<string | undefined> {
  if (side?.sha256 === undefined) return "";
  if ((side.size ?? 0) > SIDE_BYTES_MAX) return undefined;
  const pieces: Uint8Array[] = [];
  for await (const piece of verifiedContent(api, parseDigest(side.sha256))) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  if (bytes.includes(0)) return undefined;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** A file may hold what moves the cursor. Tabs are meant. */
function shownOnTerminal(text: string): string {
  return text.split("\t").map(printable).join("\t");
}
