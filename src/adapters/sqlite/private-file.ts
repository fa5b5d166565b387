/**
 * Keeps database files from other users of the machine. Rules: K13. SQLite gives its logs the
 * permissions of the database, but makes the database itself as the umask says.
 */
import { chmodSync, closeSync, openSync, statSync } from "node:fs";

/** Everything that others than the owner may do. */
const OTHERS = 0o077;

/**
 * Makes a database its owner's alone. What cannot be changed stays as it is: whoever opens it next
 * says what is wrong with it.
 */
export function keepPrivate(path: string): void {
  // SQLite takes the second for a URI, as of a database in memory that several share.
  if (path === ":memory:" || path.startsWith("file:")) return;
  unlessRefused(() => closeSync(openSync(path, "wx", 0o600)));
  for (const file of [path, `${path}-wal`, `${path}-shm`]) keepOthersOut(file);
}

/** Does the same for what is there already: a file, or a directory without what is in it. */
export function keepOthersOut(path: string): void {
  unlessRefused(() => {
    const { mode } = statSync(path);
    if ((mode & OTHERS) !== 0) chmodSync(path, mode & ~OTHERS & 0o7777);
  });
}

function unlessRefused(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
  }
}
