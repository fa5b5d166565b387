/**
 * `synced get`: a file or directory of any moment, as plain files beside today's. It never
 * overwrites anything. Rules: X5, C5.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { defineCommand } from "citty";
import { reasonOf } from "../adapters/disk/system-error.ts";
import { type Digest, parseDigest } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { joinPath, parseName, parseSymlinkTarget } from "../core/path.ts";
import type { PastApi } from "../protocol/past-api.ts";
import type { ListEntry } from "../protocol/time-answers.ts";
import { verifiedContent } from "./cat.ts";
import { commonFlags, switchFlag, textFlag } from "./flags.ts";
import { type Listed, readEntries } from "./listing.ts";
import { momentAt } from "./moment.ts";
import { createOutput, type Output } from "./output.ts";
import { quoted } from "./progress.ts";
import { filesAndBytes } from "./shown-past.ts";
import { openTarget, rootAbove, targetFlags } from "./target.ts";

export const command = defineCommand({
  meta: { name: "get", description: "Write a path of any moment beside today's" },
  args: {
    path: { type: "positional", description: "A path in the folder", required: true },
    target: { type: "positional", description: "Must not be there yet", required: true },
    at: textFlag("at", "MOMENT", 'When: "yesterday 18:00", 2h, friday, an event'),
    here: switchFlag("here", "Also into a synced folder, which then syncs it"),
    ...targetFlags,
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const target = resolve(args.target);
    checkTarget(target, args.here);
    const { api, path } = await openTarget(args, args.path);
    const moment = args.at === undefined ? undefined : await momentAt({ api, output }, args.at);
    const seq = moment?.seq ?? (await api.head());
    const request = { path, at: seq, isRecursive: true, withDeleted: false };
    // Whoever looks at the target sees all of it or nothing.
    const partial = join(dirname(target), `.${basename(target)}.synced-${process.pid}`);
    const got = new Getting(api, output, partial);
    for await (const listed of readEntries(api, request)) await got.take(path, listed);
    got.finish();
    renameSync(partial, target);
    const { files, bytes, problems } = got;
    output.event("got", { files, bytes, problems, at: seq, target });
    output.say(`Got ${filesAndBytes(files, bytes)}, as of event ${seq.toLocaleString("en")}`);
    return problems === 0 ? EXIT.done : EXIT.problems;
  },
});

/** @throws {SyncedError} `usage` */
function checkTarget(target: string, isHere: boolean): void {
  if (lstatSync(target, { throwIfNoEntry: false }) !== undefined) {
    throw new SyncedError("usage", `Cannot write "${target}": it is there already; name a new one`);
  }
  if (!existsSync(dirname(target))) {
    throw new SyncedError("usage", `Cannot write "${target}": there is no "${dirname(target)}"`);
  }
  if (isHere || rootAbove(dirname(target)) === undefined) return;
  throw new SyncedError(
    "usage",
    `Cannot write "${target}" unasked: it would be synced to all devices; add --here to want that`,
  );
}

class Getting {
  readonly #api: PastApi;
  readonly #output: Output;
  readonly #partial: string;
  /** Made last, so that nothing is ever written through one. */
  readonly #symlinks: (readonly [place: string, target: string])[] = [];
  files = 0;
  bytes = 0;
  problems = 0;

  constructor(api: PastApi, output: Output, partial: string) {
    this.#api = api;
    this.#output = output;
    this.#partial = partial;
  }

  /** @param path that was asked for: the target takes its place. */
  async take(path: string, { entry, directory }: Listed): Promise<void> {
    const whole = joinPath(directory, entry.name);
    const below = whole === path ? "" : path === "" ? whole : whole.slice(path.length + 1);
    if (below !== "") this.#makeTop();
    try {
      // The server's names lead nowhere else.
      const names = below === "" ? [] : below.split("/").map(parseName);
      await this.#write(join(this.#partial, ...names), entry);
    } catch (error) {
      const isOfAll = error instanceof SyncedError && !PASSES.has(error.code);
      if (isOfAll || below === "") throw error;
      this.problems += 1;
      this.#output.warn(`Left out: ${quoted(whole)}: ${reasonOf(error)}`);
    }
  }

  finish(): void {
    for (const [place, target] of this.#symlinks) symlinkSync(target, place);
    if (this.#symlinks.length === 0) this.#makeTop();
  }

  #makeTop(): void {
    if (!existsSync(this.#partial)) mkdirSync(this.#partial);
  }

  async #write(place: string, entry: ListEntry): Promise<void> {
    switch (entry.kind) {
      case "directory":
        mkdirSync(place);
        return;
      case "symlink":
        this.#symlinks.push([place, parseSymlinkTarget(entry.target ?? "")]);
        return;
      case "file": {
        await this.#writeFile(place, parseDigest(entry.sha256 ?? ""));
        if (entry.executable === true) chmodSync(place, 0o755);
        const seconds = Number(entry.mtimeNs ?? "0") / 1e9;
        utimesSync(place, seconds, seconds);
        this.files += 1;
        this.bytes += entry.size ?? 0;
      }
    }
  }

  async #writeFile(place: string, sha256: Digest): Promise<void> {
    const file = openSync(place, "wx");
    try {
      for await (const piece of verifiedContent(this.#api, sha256)) {
        for (let at = 0; at < piece.length; ) at += writeSync(file, piece, at);
      }
    } catch (error) {
      // Half a file would look whole.
      unlinkSync(place);
      throw error;
    } finally {
      closeSync(file);
    }
  }
}

/** About one file; the others can be had. */
const PASSES: ReadonlySet<string> = new Set([
  "version_gone",
  "chunk_corrupt",
  "invalid_path",
  "path_too_long",
  "reserved_name",
]);
