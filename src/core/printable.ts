/**
 * Makes visible what a text does not show: so that a file's name cannot move a terminal's cursor,
 * colour it, reverse a line or look like another name.
 */

/**
 * Control characters except the line feed, lone surrogates, line separators, bidirectional controls
 * and characters without a width.
 */
const UNPRINTABLE =
  /(?!\n)[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/gu;

/** Part of a text: as it is, or one character that does not show. */
export type PrintablePiece =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "code"; readonly text: string };

/** Escapes them. Line feeds stay, because callers put them between sentences. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeCharacter);
}

/** Does the same for one name or path, and also escapes line feeds. */
export function printableName(name: string): string {
  return printable(name).replaceAll("\n", "\\n");
}

/** JSON on one line in which such characters are written as `\uXXXX`: it says the same. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(UNPRINTABLE, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
  });
}

/** Takes a name apart, so that a reader can tell `\n` in a name from the two characters. */
export function printablePieces(name: string): readonly PrintablePiece[] {
  const pieces: PrintablePiece[] = [];
  let start = 0;
  for (const { 0: character, index } of name.matchAll(
    new RegExp(`\n|${UNPRINTABLE.source}`, "gu"),
  )) {
    if (index > start) pieces.push({ kind: "text", text: name.slice(start, index) });
    const hex = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    pieces.push({ kind: "code", text: `U+${hex}` });
    start = index + character.length;
  }
  if (start < name.length) pieces.push({ kind: "text", text: name.slice(start) });
  return pieces;
}

function escapeCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  const hex = codePoint.toString(16);
  return codePoint <= 0xff ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
}
