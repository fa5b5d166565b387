/** The file system contract on real disks: every way that the disk file system can take. */
import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import type { DiskCalls } from "../../src/adapters/disk/calls.ts";
import { createDiskFileSystem } from "../../src/adapters/disk/filesystem.ts";
import { createNativeDiskCalls } from "../../src/adapters/disk/native-calls.ts";
import { createNodeDiskCalls } from "../../src/adapters/disk/node-calls.ts";
import { openFolder } from "../../src/adapters/open-folder.ts";
import { type NativeCalls, nativeCalls } from "../../src/adapters/runtime/native-calls.ts";
import { fileSystemContract } from "../contracts/filesystem-contract.ts";
import { createDiskUser, makeScratchFolder } from "./disk-user.ts";

const ENOSYS = -38;
const EINVAL = -22;

function contract(name: string, makeCalls?: (root: string) => DiskCalls, parent = tmpdir()): void {
  fileSystemContract(name, () => {
    const { root, drop } = makeScratchFolder(parent);
    openFolder(root).fs.close();
    const calls = makeCalls?.(root);
    const fs = createDiskFileSystem(root, calls === undefined ? {} : { calls });
    return {
      fs,
      user: createDiskUser(root),
      close() {
        fs.close();
        drop();
      },
    };
  });
}

/** A kernel or file system without some call: `lacks` gives the error for it. */
function without(
  lacks: (...call: Parameters<NativeCalls["call"]>) => number | undefined,
): (root: string) => DiskCalls {
  const native = nativeCalls();
  if (native === undefined) throw new Error("These tests want native calls");
  const call: NativeCalls["call"] = (...all) => lacks(...all) ?? native.call(...all);
  return (root) => createNativeDiskCalls({ ...native, call }, root);
}

contract("disk file system");
contract("disk file system through node:fs", createNodeDiskCalls);
if (existsSync("/dev/shm")) contract("disk file system on tmpfs", undefined, "/dev/shm");

if (nativeCalls() !== undefined) {
  contract(
    "disk file system without openat2",
    without((name) => (name === "openat2" ? ENOSYS : undefined)),
  );
  contract(
    "disk file system without rename flags",
    without((name, ...[, , , , flags]) =>
      name === "renameat2" && flags !== 0 ? EINVAL : undefined,
    ),
  );
}
