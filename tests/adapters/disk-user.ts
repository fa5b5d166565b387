/** A person at a real folder, for the file system contract. */
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FileSystemUser } from "../contracts/filesystem-contract.ts";

export function createDiskUser(root: string): FileSystemUser {
  const at = (path: string) => join(root, path);
  return {
    writeFile: (path, text) => fs.writeFileSync(at(path), text),
    readFile: (path) => fs.readFileSync(at(path), "utf8"),
    makeDirectory: (path) => fs.mkdirSync(at(path)),
    rename: (from, to) => fs.renameSync(at(from), at(to)),
    remove: (path) => {
      if (fs.lstatSync(at(path)).isDirectory()) fs.rmdirSync(at(path));
      else fs.unlinkSync(at(path));
    },
    makeSymlink: (path, target) => fs.symlinkSync(target, at(path)),
    makeExecutable: (path) => fs.chmodSync(at(path), 0o755),
  };
}

/** A fresh folder; `drop` removes it. */
export function makeScratchFolder(parent = tmpdir()): { readonly root: string; drop(): void } {
  const root = fs.realpathSync(fs.mkdtempSync(join(parent, "synced-test-")));
  return { root, drop: () => fs.rmSync(root, { recursive: true, force: true }) };
}
