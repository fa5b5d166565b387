/**
 * Does a little of everything in the folder named by the first argument; for runtimes other than
 * Bun.
 */
import process from "node:process";
import { acquireFolderLock, isFolderLocked } from "../../../src/adapters/disk/folder-lock.ts";
import { openFolder } from "../../../src/adapters/open-folder.ts";
import { systemClock } from "../../../src/adapters/runtime/clock.ts";
import { nativeCalls } from "../../../src/adapters/runtime/native-calls.ts";
import { systemRandom } from "../../../src/adapters/runtime/random.ts";

const { fs, path } = openFolder(process.argv[2] ?? "");
const lock = acquireFolderLock(path);
const wasLocked = isFolderLocked(path);
const staged = `.synced/staging/${systemRandom.id()}`;
const writer = fs.createFile(staged);
writer.write(new TextEncoder().encode("from another runtime"));
writer.setMetadata({ executable: true, mtimeNs: "1700000001123456789" });
await writer.sync();
const stat = writer.stat();
writer.close();
const moved = fs.moveNoReplace(staged, "made");
const exchanged = fs.exchange("made", "there");
await fs.syncDirectories(["", ".synced/staging"]);
await systemClock.yield();
const small = new Uint8Array(4);
const reader = fs.open("there");
reader?.read(small, 5);
reader?.close();
lock.release();
const report = {
  native: nativeCalls() !== undefined,
  capabilities: fs.capabilities,
  wasLocked,
  isLocked: isFolderLocked(path),
  executable: stat.executable,
  mtimeNs: stat.mtimeNs,
  moved,
  exchanged,
  read: new TextDecoder().decode(small),
  names: fs.list("")?.entries.map(({ name }) => name),
  illegible: fs.list("")?.illegible.length,
};
fs.close();
console.log(JSON.stringify(report));
