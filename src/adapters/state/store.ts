/** StateStore on SQLite: opens it, and puts its parts together. Rules: S1, S4, T1. */
import type { DatabaseSync } from "node:sqlite";
import type { StateStore } from "../../ports/state-store.ts";
import { StateDatabase } from "./database.ts";
import { DirtyMarks } from "./dirty.ts";
import { StateRecords } from "./records.ts";
import { copyToMemory, openDatabase, openDatabaseReadOnly } from "./schema.ts";
import { StateTrees } from "./trees.ts";

/**
 * Opens the store of one device and folder, and creates it if there is none.
 *
 * @param path of the database, or ":memory:".
 * @throws {SyncedError} `damage_found`, `data_newer`
 */
export function openStateStore(path: string): StateStore {
  return stateStoreIn(openDatabase(path));
}

/** @param database that `openDatabase` opened. Nobody else may use it. */
export function stateStoreIn(database: DatabaseSync): StateStore {
  return createStore(new StateDatabase(database));
}

/**
 * Opens the store beside the process that owns it; every `put*` throws.
 *
 * @throws {SyncedError} `damage_found`, `data_newer`
 */
export function openStateStoreReadOnly(path: string): StateStore {
  return createStore(new StateDatabase(openDatabaseReadOnly(path), false));
}

/** A copy in memory of the store at `path`. The file is not written. */
export function openStateStoreCopy(path: string): StateStore {
  return createStore(new StateDatabase(copyToMemory(path)));
}

function createStore(db: StateDatabase): StateStore {
  const dirty = new DirtyMarks(db);
  const trees = new StateTrees(db, dirty);
  const records = new StateRecords(db, dirty);
  return {
    transaction: (work, barrier) => db.transaction(work, barrier),
    checkpoint: () => db.checkpoint(),
    close: () => db.close(),

    base: trees.base,
    local: trees.local,
    remote: trees.remote,
    remoteRow: (id) => trees.remoteRow(id),
    localByIdentity: (identity) => trees.localByIdentity(identity),
    putLocal: (node) => trees.putLocal(node),
    agreeLocal: (node) => trees.agreeLocal(node),
    removeLocal: (id, isSeen) => trees.removeLocal(id, isSeen),
    wasSeenGoing: (id) => trees.wasSeenGoing(id),
    putRemote: (node) => trees.putRemote(node),
    agreeOwn: (event) => trees.agreeOwn(event),
    clearRemote: () => trees.clearRemote(),
    settle: (id) => trees.settle(id),
    agree: (id) => trees.agree(id),
    putBase: (node) => trees.putBase(node),
    forget: (id) => trees.forget(id),
    adopt: (adoptions) => trees.adopt(adoptions),
    clearBase: () => trees.clearBase(),
    overlaid: () => trees.overlaid(),
    baseFileCount: () => trees.baseFileCount(),
    counts: () => trees.counts(),

    markDirty: (id) => dirty.mark(id),
    clearDirty: (id) => dirty.clear(id),
    dirty: () => {
      const ids = dirty.all();
      if (ids.length === 0) trees.forgetRows();
      return ids;
    },
    dirtyCount: () => dirty.count(),
    dirtyVersion: () => dirty.version,
    noteAllPlanned: () => dirty.noteAllPlanned(),
    dirtySincePlanned: () => dirty.since(),
    dirtySome: (newMax) => dirty.some(newMax),
    markAllDirty: () => dirty.markAll(),
    markUnmaterialisedDirty: (directories) => dirty.markUnmaterialised(directories),

    cursor: () => records.cursor(),
    setCursor: (cursor) => records.setCursor(cursor),
    cursorHistory: () => records.cursorHistory(),
    clearCursors: () => records.clearCursors(),
    binding: () => records.binding(),
    setBinding: (binding) => records.setBinding(binding),
    problems: () => records.problems(),
    setProblem: (path, problem) => records.setProblem(path, problem),
    clearProblemsBelow: (path) => records.clearProblemsBelow(path),
    conflicts: () => records.conflicts(),
    putConflict: (conflict) => records.putConflict(conflict),
    removeConflict: (node) => records.removeConflict(node),
    birth: (id) => records.birth(id),
    putBirth: (id, birth) => records.putBirth(id, birth),
    forgetBirthsBefore: (atMs) => records.forgetBirthsBefore(atMs),
    journal: () => records.journal(),
    addJournal: (entry) => records.addJournal(entry),
    removeJournal: (id) => records.removeJournal(id),
    quarantine: () => records.quarantine(),
    quarantineGroups: () => records.quarantineGroups(),
    putQuarantine: (entry) => records.putQuarantine(entry),
    removeQuarantine: (id) => records.removeQuarantine(id),
    isLeftover: (identity) => records.isLeftover(identity),
    setLeftover: (identity, leftover) => records.setLeftover(identity, leftover),
    value: (key) => records.value(key),
    setValue: (key, value) => records.setValue(key, value),
    manifest: (digest) => records.manifest(digest),
    putManifest: (digest, bytes) => records.putManifest(digest, bytes),
    pruneManifests: () => records.pruneManifests(),
    manifestDigests: () => records.manifestDigests(),
  };
}
