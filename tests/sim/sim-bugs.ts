/**
 * Planted bugs: wrappers around ports that break one rule each, so that the simulation proves that
 * it would find such a bug. No product code knows of them.
 */

import type { RemoteNode } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import { QUARANTINE_DIRECTORY } from "../../src/core/state-directory.ts";
import { type FileSystem, FileSystemError, type FileWriter } from "../../src/ports/filesystem.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import type { Sequencer } from "../../src/server/sequencer.ts";
import type { Life } from "./sim-options.ts";
import { override } from "./sim-override.ts";

export interface Bug {
  readonly fs: (fs: FileSystem) => FileSystem;
  readonly store: (store: StateStore) => StateStore;
  readonly metadata: (store: MetadataStore) => MetadataStore;
  readonly sequencer: (sequencer: Sequencer, metadata: MetadataStore) => Sequencer;
}

export const NO_BUG: Bug = {
  fs: (fs) => fs,
  store: (store) => store,
  metadata: (store) => store,
  sequencer: (sequencer) => sequencer,
};

/** The base is recorded though nothing was synced: a power cut shows it (I15). */
function neverSync(fs: FileSystem): FileSystem {
  return override(fs, {
    createFile: (path): FileWriter => override(fs.createFile(path), { sync: async () => {} }),
    syncDirectories: async () => {},
  });
}

/** What cannot be looked at counts as absent (I16). */
function errorIsAbsent(fs: FileSystem): FileSystem {
  const orAbsent = <Result>(look: () => Result, absent: Result): Result => {
    try {
      return look();
    } catch (error) {
      if (error instanceof FileSystemError) return absent;
      throw error;
    }
  };
  return override(fs, {
    list: (path) => orAbsent(() => fs.list(path), { entries: [], illegible: [] }),
    stat: (path) => (path === "" ? fs.stat(path) : orAbsent(() => fs.stat(path), undefined)),
  });
}

/** What an exchange displaced is taken for the expected file and thrown away at once (I3). */
function loseDisplaced(fs: FileSystem): FileSystem {
  return override(fs, {
    exchange: (a, b) => {
      const done = fs.exchange(a, b);
      if (done === "exchanged" && a.startsWith(".synced/")) fs.removeFile(a);
      return done;
    },
  });
}

/** Displaced files are thrown away at once, whoever still writes to them (I4). */
function noQuarantine(fs: FileSystem): FileSystem {
  return override(fs, {
    moveNoReplace: (from, to) => {
      const done = fs.moveNoReplace(from, to);
      if (done === "moved" && to.startsWith(`${QUARANTINE_DIRECTORY}/`)) fs.removeFile(to);
      return done;
    },
  });
}

/** Nothing is noted before a swap: a crash after it forgets whose bytes came out (D7). */
function noJournal(store: StateStore): StateStore {
  return override(store, { addJournal: () => {} });
}

/** The answer is given before the event is durable (I26). */
function answerEarly(store: MetadataStore): MetadataStore {
  return override(store, {
    append: async (folder, append) => {
      void store.append(folder, append);
      return "appended";
    },
  });
}

/** Versions are not compared: the later post overwrites what it never saw (I29). */
function noCompareAndSet(sequencer: Sequencer, metadata: MetadataStore): Sequencer {
  return override(sequencer, {
    commit: async (folder, batch) => {
      const groups = [];
      for (const group of batch.groups) {
        const ops: Op[] = [];
        for (const op of group) {
          const current = await metadata.node(folder, op.node);
          ops.push(current === undefined ? op : withCurrentBase(op, current));
        }
        groups.push(ops);
      }
      return await sequencer.commit(folder, { ...batch, groups });
    },
  });
}

/** The later time wins, whatever was in the log first (I10, O8). */
function newestWins(sequencer: Sequencer, metadata: MetadataStore): Sequencer {
  return override(sequencer, {
    commit: async (folder, batch) => {
      const groups = [];
      for (const group of batch.groups) {
        const ops: Op[] = [];
        for (const op of group) {
          const current = op.kind === "modify" ? await metadata.node(folder, op.node) : undefined;
          const isNewer = current !== undefined && timeOf(op) > timeOf(current);
          ops.push(isNewer ? withCurrentBase(op, current) : op);
        }
        groups.push(ops);
      }
      return await sequencer.commit(folder, { ...batch, groups });
    },
  });
}

function timeOf(node: Op | RemoteNode): bigint {
  const isFile = "content" in node && node.content.kind === "file";
  return isFile ? BigInt(node.content.mtimeNs) : 0n;
}

/** A retry is not recognised (I28, O1). */
function forgetOps(store: MetadataStore): MetadataStore {
  return override(store, {
    load: async (folder, request) => ({ ...(await store.load(folder, request)), ops: [] }),
  });
}

/** The deleted are forgotten at once (I32). */
function dropTombstones(store: MetadataStore): MetadataStore {
  return override(store, {
    load: async (folder, request) => {
      const loaded = await store.load(folder, request);
      return { ...loaded, nodes: loaded.nodes.filter(({ deleted }) => !deleted) };
    },
  });
}

/** A directory goes with all that is in it (I8, D4). */
function removeRecursively(fs: FileSystem): FileSystem {
  const empty = (path: string): void => {
    for (const { name, stat } of fs.list(path)?.entries ?? []) {
      const inner = `${path}/${name}`;
      if (stat.kind !== "directory") fs.removeFile(inner);
      else {
        empty(inner);
        fs.removeDirectory(inner);
      }
    }
  };
  return override(fs, {
    removeDirectory: (path) => {
      empty(path);
      return fs.removeDirectory(path);
    },
  });
}

function withCurrentBase(op: Op, { contentVersion, placeVersion }: RemoteNode): Op {
  switch (op.kind) {
    case "create":
      return op;
    case "modify":
      return { ...op, baseContent: contentVersion };
    case "move":
      return { ...op, basePlace: placeVersion };
    case "delete":
      return { ...op, baseContent: contentVersion, basePlace: placeVersion };
  }
}

/** A bug, what it breaks, and within how many seeds from 1, and in which lives, it is found. */
export type PlantedBug = Bug & {
  readonly rule: string;
  readonly seeds: number;
  /** @default any */
  readonly life?: Life;
};

const BUG_SEEDS = 500;
/** It takes many faults, or many edits, until it shows. */
const IN_LONG_LIVES = { seeds: 100, life: "long" } as const;
const SELDOM_SEEDS = 5_000;

export const BUGS: Readonly<Record<string, PlantedBug>> = {
  "never-sync": { ...NO_BUG, fs: neverSync, rule: "S2", seeds: BUG_SEEDS },
  "error-is-absent": { ...NO_BUG, fs: errorIsAbsent, rule: "A3", ...IN_LONG_LIVES },
  "lose-displaced": { ...NO_BUG, fs: loseDisplaced, rule: "D2", seeds: BUG_SEEDS },
  "no-quarantine": { ...NO_BUG, fs: noQuarantine, rule: "D3", seeds: BUG_SEEDS },
  "no-journal": { ...NO_BUG, store: noJournal, rule: "D7", ...IN_LONG_LIVES },
  // A client gives back what a server lost, so this one seldom shows.
  "answer-early": { ...NO_BUG, metadata: answerEarly, rule: "O7", seeds: SELDOM_SEEDS },
  "no-compare-and-set": { ...NO_BUG, sequencer: noCompareAndSet, rule: "O2", seeds: BUG_SEEDS },
  "newest-wins": { ...NO_BUG, sequencer: newestWins, rule: "O8", seeds: BUG_SEEDS },
  "forget-ops": { ...NO_BUG, metadata: forgetOps, rule: "O1", seeds: BUG_SEEDS },
  "drop-tombstones": { ...NO_BUG, metadata: dropTombstones, rule: "O2", seeds: BUG_SEEDS },
  "remove-recursively": { ...NO_BUG, fs: removeRecursively, rule: "D4", ...IN_LONG_LIVES },
};
