/**
 * Planted bugs: wrappers around ports that break one rule each, so that the simulation proves that
 * it would find such a bug. No product code knows of them.
 */
import type { RemoteNode } from "../../src/core/node.ts";
import type { Op } from "../../src/core/op.ts";
import type { FileSystem, FileWriter } from "../../src/ports/filesystem.ts";
import type { MetadataStore } from "../../src/ports/metadata-store.ts";
import type { StateStore } from "../../src/ports/state-store.ts";
import type { Sequencer } from "../../src/server/sequencer.ts";
import { override } from "./sim-override.ts";

export interface Bug {
  readonly fs: (fs: FileSystem) => FileSystem;
  readonly store: (store: StateStore) => StateStore;
  readonly sequencer: (sequencer: Sequencer, metadata: MetadataStore) => Sequencer;
}

export const NO_BUG: Bug = { fs: (fs) => fs, store: (store) => store, sequencer: (inner) => inner };

/** The base is recorded though nothing was synced: a power cut shows it (I15). */
function neverSync(fs: FileSystem): FileSystem {
  return override(fs, {
    createFile: (path): FileWriter => override(fs.createFile(path), { sync: async () => {} }),
    syncDirectories: async () => {},
  });
}

/** A directory that cannot be listed looks empty (I16). */
function errorIsEmpty(fs: FileSystem): FileSystem {
  return override(fs, {
    list: (path) => {
      try {
        return fs.list(path);
      } catch (error) {
        if (error instanceof Error && error.name === "Killed") throw error;
        return { entries: [], illegible: [] };
      }
    },
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

export const BUGS: Readonly<Record<string, Bug>> = {
  "never-sync": { ...NO_BUG, fs: neverSync },
  "error-is-empty": { ...NO_BUG, fs: errorIsEmpty },
  "lose-displaced": { ...NO_BUG, fs: loseDisplaced },
  "no-compare-and-set": { ...NO_BUG, sequencer: noCompareAndSet },
};
