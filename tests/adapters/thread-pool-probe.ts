/**
 * Run by thread-pool.test.ts as a process of its own: opens the FIFOs that are named, each of which
 * holds a thread until somebody writes, and says whether a thread is left for anything else.
 */
import { open, stat } from "node:fs";
import process from "node:process";
import { widenThreadPool } from "../../src/adapters/runtime/native-calls.ts";

const STUCK_MS = 60_000;

widenThreadPool();
for (const path of process.argv.slice(2)) open(path, "r", () => undefined);
stat(".", () => say("free"));
setTimeout(() => say("stuck"), STUCK_MS);

function say(word: string): void {
  process.stdout.write(word);
  // The threads that wait would keep the process from ending.
  process.kill(process.pid, "SIGKILL");
}
