/**
 * Shows a link in a browser: the names in a directory, or why the link does not open. Rules: H42.
 */
import type { SyncedError } from "../core/error.ts";
import { printableName } from "../core/printable.ts";
import type { ListAnswer } from "../protocol/time-answers.ts";

/** Nothing runs, is fetched or sent. No sandbox: browsers do not save files for a page in one. */
export const LINK_PAGE_HEADERS = {
  "content-security-policy":
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "content-type": "text/html; charset=utf-8",
  "x-robots-tag": "noindex",
} as const;

export interface ListedDirectory {
  /** As the page is headed. */
  readonly name: string;
  /** Stands before a name in the address of its entry. */
  readonly prefix: string;
  readonly listing: ListAnswer;
  /** True if there is a directory above that the link shows too. */
  readonly hasAbove: boolean;
}

export function linkListing({ name, prefix, listing, hasAbove }: ListedDirectory): string {
  const rows = listing.entries.map(({ name: own, kind, size }) => {
    const shown = text(printableName(own));
    const href = text(`${prefix}${encodeURIComponent(own)}`);
    if (kind === "symlink") return `<tr><td>${bdi(shown)} (a symlink)<td>`;
    if (kind === "directory") return `<tr><td><a href="${href}/">${bdi(`${shown}/`)}</a><td>`;
    const view = `<a href="${href}?as=view">view</a>`;
    return `<tr><td><a href="${href}">${bdi(shown)}</a><td>${size ?? 0} bytes<td>${view}`;
  });
  const here = prefix === "./" ? "" : text(prefix.replace(/\/$/, ""));
  const more =
    listing.next === undefined ? "" : `<p><a href="${here}?offset=${listing.next}">More</a>`;
  return document(
    name,
    [
      hasAbove ? `<p><a href="${prefix === "./" ? "../" : "./"}">Up</a>` : "",
      `<p>${listing.total} entries. <a href="${here}?as=zip">Download all as a zip</a>`,
      `<table>${rows.join("\n")}</table>`,
      more,
    ].join("\n"),
  );
}

export function linkProblem({ message }: SyncedError): string {
  return document("synced", `<p>${text(message)}`);
}

function document(title: string, body: string): string {
  const shown = text(printableName(title));
  const head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">';
  return `<!doctype html><html lang="en">${head}<title>${shown}</title><h1>${bdi(shown)}</h1>\n${body}</html>\n`;
}

/** A name that is written from right to left does not reorder what stands beside it. */
function bdi(html: string): string {
  return `<bdi>${html}</bdi>`;
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function text(plain: string): string {
  return plain.replace(/[&<>"']/g, (character) => ESCAPES[character] ?? character);
}
