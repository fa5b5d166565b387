/** What `synced sync FOLDER` makes of what a person typed. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type OpenedFolder, openFolder } from "../../src/adapters/open-folder.ts";
import { SyncedError } from "../../src/core/error.ts";
import { makeScratchFolder } from "./disk-user.ts";

let root: string;
let drop: () => void;

beforeEach(() => {
  ({ root, drop } = makeScratchFolder());
});
afterEach(() => drop());

function opened<Result>(path: string, use: (folder: OpenedFolder) => Result): Result {
  const folder = openFolder(path);
  try {
    return use(folder);
  } finally {
    folder.fs.close();
  }
}

test("a missing folder is made, with its state directories for the owner alone [S1]", () => {
  const path = join(root, "new/folder");
  expect(opened(path, ({ created }) => created)).toBe(true);
  expect(opened(path, ({ created }) => created)).toBe(false);
  expect(readdirSync(join(path, ".synced")).sort()).toEqual(["parking", "quarantine", "staging"]);
  for (const name of [".synced", ".synced/staging", ".synced/quarantine", ".synced/parking"]) {
    expect(statSync(join(path, name)).mode & 0o777).toBe(0o700);
  }
  expect(readdirSync(join(path, ".synced/staging"))).toEqual([]);
});

test("the path that was typed may be a symlink; the root is what it leads to [D1]", () => {
  mkdirSync(join(root, "real"));
  symlinkSync("real", join(root, "link"));
  opened(join(root, "link"), ({ path, rootIdentity, fs }) => {
    expect(path).toBe(join(root, "real"));
    expect(fs.stat("")?.identity).toBe(rootIdentity);
    expect(fs.capabilities).toEqual({
      exchange: true,
      executable: true,
      foldsNames: false,
      mtimeGranularityNs: 1,
    });
  });
  expect(opened(join(root, "real"), (folder) => folder.rootIdentity)).toBe(
    opened(join(root, "link"), (folder) => folder.rootIdentity),
  );
});

test("a folder inside a synced one is refused before anything is made [S3]", () => {
  const outer = join(root, "outer");
  opened(outer, () => {});
  writeFileSync(join(outer, ".synced/marker.json"), "{}");
  mkdirSync(join(outer, "inner"));
  symlinkSync("outer/inner", join(root, "link"));
  for (const path of ["outer/inner", "outer/new/deep", "link", "outer/.synced/staging"]) {
    expect(codeOf(() => openFolder(join(root, path)))).toBe("folder_nested");
  }
  expect(existsSync(join(outer, "new"))).toBe(false);
  expect(existsSync(join(outer, "inner/.synced"))).toBe(false);
  opened(outer, () => {});
});

test("what is no directory, or has a .synced that leads elsewhere, is refused [D1]", () => {
  writeFileSync(join(root, "file"), "kept");
  expect(codeOf(() => openFolder(join(root, "file")))).toBe("folder_unusable");
  expect(codeOf(() => openFolder(join(root, "file/below")))).toBe("folder_unusable");
  for (const target of ["elsewhere", "nowhere"]) {
    mkdirSync(join(root, target, "folder"), { recursive: true });
    symlinkSync(join(root, "elsewhere"), join(root, target, "folder/.synced"));
    expect(codeOf(() => openFolder(join(root, target, "folder")))).toBe("folder_unusable");
  }
  symlinkSync("none", join(root, "dangling"));
  expect(codeOf(() => openFolder(join(root, "dangling")))).toBe("folder_unusable");
  expect(readdirSync(join(root, "elsewhere"))).toEqual(["folder"]);
  expect(readFileSync(join(root, "file"), "utf8")).toBe("kept");
});

test("read-only opening makes nothing and finds what is there [Y5]", () => {
  writeFileSync(join(root, "file"), "x");
  const folder = openFolder(root, { readOnly: true });
  expect(folder.created).toBe(false);
  expect(folder.fs.stat("file")?.size).toBe(1);
  expect(folder.rootIdentity).toBe(opened(root, ({ rootIdentity }) => rootIdentity));
  folder.fs.close();
  const absent = join(root, "none");
  expect(codeOf(() => openFolder(absent, { readOnly: true }))).toBe("folder_unusable");
  expect(existsSync(absent)).toBe(false);
});

function codeOf(call: () => unknown): string {
  try {
    call();
    return "no error";
  } catch (error) {
    if (error instanceof SyncedError) return error.code;
    throw error;
  }
}

test("a server's data directory is no folder [A6]", () => {
  writeFileSync(join(root, "format"), "synced data 1\n");
  expect(codeOf(() => openFolder(root))).toBe("folder_nested");
  expect(existsSync(join(root, ".synced"))).toBe(false);
});
