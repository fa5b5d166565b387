/** Bytes of a file at a moment: for previews, and for downloads. */
import { folderRoute, problemOf, query, request } from "./api.ts";
import { tellProblem } from "./toast.ts";

/** Text is shown up to here; a browser scrolls it, and nobody reads further. */
const TEXT_BYTES_MAX = 256 * 1024;
/** Media are held in memory while they are shown. */
const MEDIA_BYTES_MAX = 64 * 1024 * 1024;

export interface FileAt {
  readonly folder: string;
  readonly path: string;
  /** undefined is now. */
  readonly seq: number | undefined;
  readonly size: number;
}

export type Shown =
  | { readonly kind: "text"; readonly text: string; readonly isWhole: boolean }
  | { readonly kind: "image" | "audio" | "video"; readonly url: string }
  | { readonly kind: "other"; readonly why: string };

const MEDIA: Readonly<Record<string, readonly ["image" | "audio" | "video", string]>> = {
  png: ["image", "image/png"],
  jpg: ["image", "image/jpeg"],
  jpeg: ["image", "image/jpeg"],
  gif: ["image", "image/gif"],
  webp: ["image", "image/webp"],
  avif: ["image", "image/avif"],
  bmp: ["image", "image/bmp"],
  // In an image element it runs nothing.
  svg: ["image", "image/svg+xml"],
  mp3: ["audio", "audio/mpeg"],
  m4a: ["audio", "audio/mp4"],
  ogg: ["audio", "audio/ogg"],
  wav: ["audio", "audio/wav"],
  flac: ["audio", "audio/flac"],
  mp4: ["video", "video/mp4"],
  webm: ["video", "video/webm"],
};

function address({ folder, path, seq }: FileAt): string {
  return folderRoute(folder, `/files?${query({ path, seq })}`);
}

function mediaOf(path: string) {
  return MEDIA[path.slice(path.lastIndexOf(".") + 1).toLowerCase()];
}

/** @throws {Problem} */
export async function show(file: FileAt, signal: AbortSignal): Promise<Shown> {
  const media = mediaOf(file.path);
  if (media !== undefined) {
    if (file.size > MEDIA_BYTES_MAX) return { kind: "other", why: "It is too large to be shown" };
    const response = await request(address(file), { signal });
    const [kind, type] = media;
    const blob = new Blob([await response.arrayBuffer()], { type });
    return { kind, url: URL.createObjectURL(blob) };
  }
  if (file.size === 0) return { kind: "other", why: "It is empty" };
  const { text, isText, isWhole } = await readText(file, signal);
  if (!isText) return { kind: "other", why: "It is not text" };
  return { kind: "text", text, isWhole };
}

/** The beginning of a file as text. @throws {Problem} */
export async function readText(file: FileAt, signal: AbortSignal) {
  if (file.size === 0) return { text: "", isText: true, isWhole: true };
  const headers = { range: `bytes=0-${TEXT_BYTES_MAX - 1}` };
  const response = await request(address(file), { headers, signal });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isWhole = bytes.length >= file.size;
  try {
    // The last character may be cut in two: as a stream, the decoder leaves it out.
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes, { stream: !isWhole });
    return { text, isText: !text.includes("\0"), isWhole };
  } catch {
    return { text: "", isText: false, isWhole };
  }
}

/** Hands the file to the browser, which stores it where downloads go. */
export function save(file: FileAt): void {
  download(file).catch((error: unknown) => tellProblem(problemOf(error).message));
}

async function download(file: FileAt): Promise<void> {
  const response = await request(address(file));
  const url = URL.createObjectURL(await response.blob());
  const link = document.createElement("a");
  link.href = url;
  link.download = file.path.slice(file.path.lastIndexOf("/") + 1);
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
