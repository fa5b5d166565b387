/**
 * The type under which a browser may show a file's bytes, by how they begin. Rules: H34.
 *
 * A file that fits no row is text: an HTML page of a stranger is shown as its source, never run. A
 * policy goes with each answer that lets nothing run in it either way.
 */

export interface ViewType {
  readonly type: string;
  readonly policy: string;
}

/** So many bytes decide. */
export const VIEW_HEAD_BYTES = 512;

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";

const TEXT = "text/plain; charset=utf-8";

/** In the order in which they are tried. A dot stands for any byte. */
const BEGINNINGS: readonly (readonly [pattern: RegExp, type: string])[] = [
  [/^.PNG\r\n/s, "image/png"],
  [/^\xff\xd8\xff/, "image/jpeg"],
  [/^GIF8[79]a/, "image/gif"],
  [/^RIFF....WEBP/s, "image/webp"],
  [/^....ftypavi[fs]/s, "image/avif"],
  [/^BM....\0\0\0\0/s, "image/bmp"],
  [/^....ftypM4A /s, "audio/mp4"],
  [/^....ftyp(?:isom|iso[2-6]|mp4[12]|avc1|M4V |MSNV|dash|qt {2})/s, "video/mp4"],
  [/^.E\xdf\xa3.{0,64}webm/s, "video/webm"],
  [/^OggS.{24,64}(?:theora|video)/s, "video/ogg"],
  [/^OggS/, "audio/ogg"],
  [/^(?:ID3|\xff[\xf2\xf3\xfa\xfb])/, "audio/mpeg"],
  [/^RIFF....WAVE/s, "audio/wav"],
  [/^fLaC/, "audio/flac"],
  [
    /^(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?(?:<!--[\s\S]*?-->\s*)*(?:<!DOCTYPE svg[^>]*>\s*)?<svg[\s>]/,
    "image/svg+xml",
  ],
];

/** @param head the file's first VIEW_HEAD_BYTES bytes, or all of them */
export function viewTypeOf(head: Uint8Array): ViewType {
  let text = "";
  for (const byte of head) text += String.fromCharCode(byte);
  // Viewers of PDF run it apart from this origin; under "sandbox" some download it instead.
  if (text.startsWith("%PDF-")) return { type: "application/pdf", policy: POLICY };
  const type = BEGINNINGS.find(([pattern]) => pattern.test(text))?.[1] ?? TEXT;
  return { type, policy: `${POLICY}; sandbox` };
}
