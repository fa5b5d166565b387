/** Takes the lock of the folder named by the first argument, says so, and waits to be killed. */
import process from "node:process";
import { acquireFolderLock } from "../../../src/adapters/disk/folder-lock.ts";
import { SyncedError } from "../../../src/core/error.ts";

try {
  acquireFolderLock(process.argv[2] ?? "");
  console.log("held");
  setInterval(() => {}, 1_000);
} catch (error) {
  console.log(error instanceof SyncedError ? error.code : String(error));
}
