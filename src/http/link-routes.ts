/**
 * Share links: made, listed and revoked by who may write, opened by whoever has one. The path that
 * is opened is looked up from the link's node downwards, name by name, as of one event.
 * Rules: H40-H42.
 */
import { SyncedError } from "../core/error.ts";
import type { FolderName } from "../core/identifier.ts";
import { HISTORY_ROWS_PER_PAGE_MAX } from "../core/limits.ts";
import { baseName, joinPath, parsePath } from "../core/path.ts";
import type { LinkRecord } from "../ports/link-store.ts";
import { type MadeLink, parseLinkRequest } from "../protocol/link-messages.ts";
import { parseChoice, parseSequenceText } from "../protocol/parse-request.ts";
import type { History } from "../server/history.ts";
import type { Links } from "../server/links.ts";
import { bytesAnswer, emptyAnswer, jsonAnswer, problemAnswer } from "./answer.ts";
import { archiveTurns, sendArchive } from "./archive-routes.ts";
import { readJson } from "./body.ts";
import { type Call, type Route, type RouterOptions, segment, sendingOf } from "./endpoint.ts";
import { attachment, sendContent } from "./file-routes.ts";
import { folderOf } from "./json-routes.ts";
import { LINK_PAGE_HEADERS, linkListing, linkProblem } from "./link-page.ts";
import { answerInTurn } from "./list-page.ts";
import { Refusals } from "./refusals.ts";
import { Turns } from "./turns.ts";

const BODY_BYTES_MAX = 64 * 1024;
/** Lists that are made at the same time. */
const LISTS_MAX = 2;
/** Segments of "/s/LINK" before those of a path. */
const LINK_SEGMENTS = 3;
export const LINK_PATTERN = "/s/:link/*";

export function linkRoutes(options: RouterOptions): readonly Route[] {
  const { history, links } = options;
  if (history === undefined || links === undefined) return [];
  const turns = archiveTurns(options);
  const opening = { options, history, links, turns, refusals: new Refusals(options) };
  return [
    linksRoute(options, history, links),
    {
      pattern: "/v1/folders/:folder/links/:link",
      methods: {
        DELETE: {
          needs: "write",
          async handle(call) {
            await links.revoke(namesOf(options, folderOf(call)), segment(call, 5));
            return emptyAnswer(204);
          },
        },
      },
    },
    {
      pattern: LINK_PATTERN,
      isDocument: true,
      methods: {
        GET: {
          needs: "link",
          parameters: ["as", "offset"],
          answers: "bytes",
          head: true,
          handle: (call) => openLink(opening, call),
        },
      },
    },
  ];
}

function linksRoute(options: RouterOptions, history: History, links: Links): Route {
  const bounds = { bytesMax: BODY_BYTES_MAX, clock: options.clock };
  const turns = new Turns(options.clock, LISTS_MAX);
  return {
    pattern: "/v1/folders/:folder/links",
    methods: {
      GET: {
        needs: "write",
        handle: (call) =>
          answerInTurn(
            async () => ({ links: await links.list(namesOf(options, folderOf(call))) }),
            {
              turns,
              ...sendingOf(options, call),
            },
          ),
      },
      POST: {
        needs: "write",
        takes: "json",
        async handle(call) {
          const folder = folderOf(call);
          const request = parseLinkRequest(await readJson(call, bounds));
          const { path, lifeMs, password, follows } = request;
          const { seq, node } = await history.nodeAt(folder, { path, at: request.at });
          const at = follows ? undefined : seq;
          const { token } = call.caller;
          const link = { folder, node, path, at, lifeMs, password, token };
          const { record, text } = await links.make(link);
          const made: MadeLink = { ...links.info(record), address: `/s/${text}` };
          return jsonAnswer(made, 201);
        },
      },
    },
  };
}

/** A folder that was renamed keeps the links of its former names. */
function namesOf({ formerNames }: RouterOptions, folder: FolderName): ReadonlySet<string> {
  const former = [...(formerNames ?? [])].filter(([, present]) => present === folder);
  return new Set([folder, ...former.map(([name]) => name)]);
}

interface Opening {
  readonly options: RouterOptions;
  readonly history: History;
  readonly links: Links;
  /** At listing what a zip will hold. */
  readonly turns: Turns;
  /** Of wrong passwords. */
  readonly refusals: Refusals;
}

async function openLink(opening: Opening, call: Call): Promise<Response> {
  try {
    const link = await opening.links.open(segment(call, 2));
    await requirePassword(opening, call, link);
    const response = await show(opening, call, link);
    response.headers.set("x-robots-tag", "noindex");
    return response;
  } catch (error) {
    const isForPerson = call.request.headers.get("accept")?.includes("text/html") === true;
    const isKnown = error instanceof SyncedError && error.kind.httpStatus < 500;
    if (!isForPerson || !isKnown) throw error;
    opening.options.instruments?.problem(error.code);
    const { status, headers } = problemAnswer(error, call.requestId);
    for (const [name, value] of Object.entries(LINK_PAGE_HEADERS)) headers.set(name, value);
    return new Response(linkProblem(error), { status, headers });
  }
}

/** Every browser asks for it, and curl takes it as -u: no form, no cookie, no script. */
async function requirePassword(
  { links, refusals }: Opening,
  { request, caller: { address } }: Call,
  link: LinkRecord,
): Promise<void> {
  if (link.password === undefined) return;
  const password = basicPassword(request.headers.get("authorization"));
  if (password === undefined) {
    throw new SyncedError("link_password", "Cannot open the link: it wants a password");
  }
  refusals.check(address);
  if (await links.isPassword(link, password)) return;
  refusals.count(address);
  throw new SyncedError("link_password", "Cannot open the link: the password is wrong");
}

/** RFC 7617: base64 of "name:password"; the name does not matter. */
function basicPassword(header: string | null): string | undefined {
  const [, encoded] = /^basic ([A-Za-z0-9+/]{1,8192}={0,2})$/i.exec(header ?? "") ?? [];
  if (encoded === undefined) return undefined;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.fromBase64(encoded));
    const colon = text.indexOf(":");
    return colon === -1 ? undefined : text.slice(colon + 1);
  } catch {
    return undefined;
  }
}

async function show(opening: Opening, asked: Call, link: LinkRecord): Promise<Response> {
  const { options, history, links, turns } = opening;
  const folder = options.formerNames?.get(link.folder) ?? link.folder;
  // Of a long download the link is checked again, not a token.
  const call = { ...asked, confirm: () => links.confirm(link.id) };
  const { seq, path: top } = await history.pathOf(folder, link);
  const names = asked.segments.slice(LINK_SEGMENTS);
  const isDirectoryAddress = names.at(-1) === "";
  if (isDirectoryAddress) names.pop();
  const below = names.length === 0 ? "" : parsePath(names.map(decoded).join("/")).join("/");
  if (below.split("/").length > Math.max(1, names.length)) throw nothingThere();
  const path = below === "" ? top : joinPath(top, below);
  const { sequencer } = options;
  const node = path === "" ? undefined : await sequencer.nodeAt(folder, path, seq);
  if (path !== "" && node === undefined) throw nothingThere();
  const as = call.query.get("as");
  if (node?.content.kind === "file") {
    if (isDirectoryAddress) throw nothingThere();
    const disposition = attachment(baseName(path));
    return await sendContent(options, call, { folder, content: node.content, disposition });
  }
  if (node !== undefined && node.content.kind !== "directory") throw nothingThere();
  if (as !== undefined) {
    parseChoice(as, "as", ["zip"]);
    return await sendArchive(options, call, { folder, history, turns, path, at: seq });
  }
  const offset = parseSequenceText(call.query.get("offset") ?? "0", "offset");
  const listing = await history.list(folder, {
    path,
    at: seq,
    sort: "name",
    descending: false,
    offset,
    limit: HISTORY_ROWS_PER_PAGE_MAX,
    withDeleted: false,
  });
  const html = linkListing({
    name: path === "" ? folder : baseName(path),
    prefix: isDirectoryAddress ? "./" : `${asked.segments.at(-1) ?? ""}/`,
    listing,
    hasAbove: names.length > 0,
  });
  const body = call.request.method === "HEAD" ? null : new TextEncoder().encode(html);
  return bytesAnswer(body, LINK_PAGE_HEADERS);
}

function decoded(raw: string): string {
  try {
    return decodeURIComponent(raw);
  } catch {
    throw nothingThere();
  }
}

function nothingThere(): SyncedError {
  return new SyncedError("not_found", "Cannot open the link: nothing is there");
}
