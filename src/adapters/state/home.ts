/** The place of a folder's state database, and how a wrong one is set aside. Rules: S4. */
import { existsSync, renameSync } from "node:fs";
import { join } from "node:path";
import type { StateStoreHome } from "../../ports/state-store.ts";
import { openStateStore, openStateStoreCopy } from "./store.ts";

/** @param stateDirectory absolute; must exist before `open()`. */
export function createStateStoreHome(stateDirectory: string): StateStoreHome {
  const path = join(stateDirectory, "state.db");
  // The database goes first, because SQLite deletes a log that it finds beside an empty new
  // database.
  const files = [path, `${path}-wal`, `${path}-shm`];
  return {
    open: () => openStateStore(path),
    openCopy: () => openStateStoreCopy(path),
    exists: () => existsSync(path),
    setAside() {
      let attempt = 1;
      while (files.some((file) => existsSync(`${file}.set-aside-${attempt}`))) attempt += 1;
      for (const file of files) {
        if (existsSync(file)) renameSync(file, `${file}.set-aside-${attempt}`);
      }
    },
  };
}
