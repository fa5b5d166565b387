/**
 * `synced ignore test`: which line of which rules file keeps a path from being synced. Exit 0 if
 * all are ignored, 3 otherwise. Rules: A6, X9.
 */
import { relative, resolve, sep } from "node:path";
import { defineCommand } from "citty";
import { openFolder } from "../adapters/open-folder.ts";
import { IgnoreFiles } from "../client/scan/ignore-files.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { IGNORE_FILE, type IgnoreMatch } from "../core/ignore.ts";
import { joinPath } from "../core/path.ts";
import { printableName } from "../core/printable.ts";
import type { FileSystem } from "../ports/filesystem.ts";
import { rememberedRules } from "./check.ts";
import { commonFlags } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { quoted } from "./progress.ts";
import { rootAbove } from "./target.ts";

export const command = defineCommand({
  meta: { name: "ignore", description: "Say which rule keeps a path from being synced" },
  args: {
    action: { type: "positional", description: "test", required: true },
    path: { type: "positional", description: "Paths", valueHint: "PATH...", required: true },
    ...commonFlags,
  },
  run({ args }) {
    const output = createOutput(args);
    if (args.action !== "test") {
      throw new SyncedError("usage", `Cannot do ${quoted(args.action)}: use test`);
    }
    let isAll = true;
    for (const place of args._.slice(1)) {
      const { path, ignored, match } = judge(place, output);
      isAll &&= ignored;
      output.result({ path, ignored, ...match }, textOf(path, ignored, match));
    }
    return isAll ? EXIT.done : EXIT.problems;
  },
});

interface Judgement {
  readonly path: string;
  readonly ignored: boolean;
  /** undefined also for what is never synced. */
  readonly match: IgnoreMatch | undefined;
}

function judge(place: string, output: Output): Judgement {
  const absolute = resolve(place);
  const root = rootAbove(absolute);
  if (root === undefined) {
    throw new SyncedError("usage", `Cannot test ${quoted(place)}: it is in no synced folder`);
  }
  const path = relative(root, absolute).split(sep).join("/");
  const { fs } = openFolder(root, { readOnly: true });
  try {
    const names = path === "" ? [] : path.split("/");
    const { rules } = rulesFor(fs, { root, names }, output);
    const kind = names.length === 0 ? "directory" : fs.stat(path)?.kind;
    const isDirectory = kind === undefined ? place.endsWith("/") : kind === "directory";
    const ignored = rules.ignores(path, isDirectory);
    return { path, ignored, match: rules.ignoredBy(path, isDirectory) };
  } finally {
    fs.close();
  }
}

/** Loads the rules files above a path, as a scan would that comes by. */
function rulesFor(
  fs: FileSystem,
  { root, names }: { readonly root: string; readonly names: readonly string[] },
  output: Output,
): IgnoreFiles {
  const files = new IgnoreFiles(fs, rememberedRules(root));
  const loads = [files.loadDevice()];
  let directory = "";
  for (const name of names) {
    if (directory !== "" && fs.stat(directory)?.kind !== "directory") break;
    loads.push(files.load(directory, fs.stat(joinPath(directory, IGNORE_FILE))));
    directory = joinPath(directory, name);
    if (files.rules.ignores(directory, true)) break;
  }
  for (const load of loads) if (load.kind === "unusable") output.warn(load.message);
  return files;
}

function textOf(path: string, ignored: boolean, match: IgnoreMatch | undefined): string {
  const shown = path === "" ? "." : printableName(path);
  if (!ignored) return `${shown}: not ignored`;
  if (match === undefined) return `${shown}: never synced, it is synced's own`;
  const { file, line, pattern } = match;
  return `${shown}: ignored by ${printableName(pattern)} in ${printableName(file)}, line ${line}`;
}
