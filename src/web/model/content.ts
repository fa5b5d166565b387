/** Bytes of a file at a moment: for previews, and for downloads. */
import { problemOf, request } from "./api.ts";
import { addressOf } from "./tickets.ts";
import { tellProblem } from "./toast.ts";

/** Text is shown up to here; a browser scrolls it, and nobody reads further. */
const TEXT_BYTES_MAX = 256 * 1024;

export interface FileAt {
  readonly folder: string;
  readonly path: string;
  /** undefined is now. */
  readonly seq: number | undefined;
  readonly size: number;
}

export type Shown =
  | { readonly kind: "text"; readonly text: string; readonly isWhole: boolean }
  | { readonly kind: "image" | "audio" | "video" | "document"; readonly url: string }
  | { readonly kind: "other"; readonly why: string };

/** By the name; the server looks at the bytes, and gives a type that runs nothing. */
const MEDIA: Readonly<Record<"image" | "audio" | "video" | "document", readonly string[]>> = {
  image: ["png", "jpg", "jpeg", "gif", "webp", "avif", "bmp", "svg"],
  audio: ["mp3", "m4a", "ogg", "oga", "wav", "flac"],
  video: ["mp4", "m4v", "webm", "ogv"],
  document: ["pdf"],
};

function mediaOf(path: string): "image" | "audio" | "video" | "document" | undefined {
  const extension = path.slice(path.lastIndexOf(".") + 1).toLowerCase();
  if (MEDIA.image.includes(extension)) return "image";
  if (MEDIA.audio.includes(extension)) return "audio";
  if (MEDIA.video.includes(extension)) return "video";
  // Where a browser shows none itself, it would only store it.
  return MEDIA.document.includes(extension) && navigator.pdfViewerEnabled ? "document" : undefined;
}

/** @throws {Problem} */
export async function show(file: FileAt, signal: AbortSignal): Promise<Shown> {
  const media = mediaOf(file.path);
  if (media !== undefined) {
    const { folder, path, seq } = file;
    return { kind: media, url: await addressOf(folder, "/files", { path, seq, as: "view" }) };
  }
  if (file.size === 0) return { kind: "other", why: "It is empty" };
  const { text, isText, isWhole } = await readText(file, signal);
  if (!isText) return { kind: "other", why: "It is not text" };
  return { kind: "text", text, isWhole };
}

/** The beginning of a file as text. @throws {Problem} */
export async function readText({ folder, path, seq, size }: FileAt, signal: AbortSignal) {
  if (size === 0) return { text: "", isText: true, isWhole: true };
  const headers = { range: `bytes=0-${TEXT_BYTES_MAX - 1}` };
  const response = await request(await addressOf(folder, "/files", { path, seq }), {
    headers,
    signal,
  });
  const bytes = new Uint8Array(await response.arrayBuffer());
  const isWhole = bytes.length >= size;
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

async function download({ folder, path, seq }: FileAt): Promise<void> {
  fetchAway(await addressOf(folder, "/files", { path, seq }));
}

/** A directory as a zip. */
export function saveArchive(folder: string, path: string, at: number | undefined): void {
  const begin = async () => {
    const address = await addressOf(folder, "/archive", { path, at });
    // Asked first, since an answer that is no zip would be stored as one.
    await request(address, { method: "HEAD" });
    fetchAway(address);
  };
  begin().catch((error: unknown) => {
    const { status, message } = problemOf(error);
    tellProblem(status === 422 ? "That is too much for one zip: take a folder inside" : message);
  });
}

function fetchAway(address: string): void {
  const link = document.createElement("a");
  link.href = address;
  link.download = "";
  link.click();
}
