/**
 * Planted bugs within the product's code: one guard each is taken out while its file is loaded, so
 * that the simulation proves that it would miss the guard. For what no wrapper around a port can
 * break. To be planted before anything of the product is imported.
 */

export interface Mutant {
  /** What it breaks. */
  readonly rule: string;
  /** Found within so many seeds from 1. */
  readonly seeds: number;
  /** Below the project's directory. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly guard: string;
  readonly without: string;
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  /** A write just before new metadata hides behind them (A2). */
  "trust-young": {
    rule: "A2",
    seeds: 500,
    file: "src/client/apply/batch.ts",
    guard: "this.overlay.put({ ...node, identity, stamp: stamp + RACY_MARK });",
    without: "this.overlay.put({ ...node, identity, stamp });",
  },
  /** On a folding disk another spelling is taken for the name itself (F51). */
  "ignore-spelling": {
    rule: "D9",
    seeds: 500,
    file: "src/client/folder/spelling.ts",
    guard: 'if (stat === undefined || path === "" || !fs.capabilities.foldsNames) return stat;',
    without: 'if (path !== ".") return stat;',
  },
  /** An own op that comes back makes the whole remote node the base, whatever it was about. */
  "rebase-whole": {
    rule: "S6",
    seeds: 50,
    file: "src/client/connect/remote-log.ts",
    guard: "if (isOwn) store.agreeOwn(event);",
    without: `if (isOwn) {
      store.putRemote(foldEvent(event));
      const remote = store.remoteRow(event.node);
      const local = store.local.get(event.node);
      if (remote === undefined) return;
      if (remote.deleted) {
        if (local === undefined) store.settle(event.node);
        else if (store.base.get(event.node) !== undefined) {
          store.forget(event.node);
          store.putLocal(local);
        }
      } else {
        const { parent, name, content, contentVersion, placeVersion } = remote;
        const signature = { identity: local?.identity ?? "", stamp: "" };
        const versions = { contentVersion, placeVersion };
        store.putBase({ id: event.node, parent, name, content, ...signature, ...versions });
        if (local === undefined) store.removeLocal(event.node);
        else store.putLocal(local);
      }
    }`,
  },
  /** A mode that one side set goes with the other side's bytes. */
  "mode-with-bytes": {
    rule: "R5",
    seeds: 50,
    file: "src/core/merge.ts",
    guard: "executable: mergeValue(base.executable, local.executable, remote.executable),",
    without: "executable: taken.executable,",
  },
  /** Of a rename and a move of one file, one is undone. */
  "place-as-one": {
    rule: "R1",
    seeds: 200,
    file: "src/core/merge.ts",
    guard: `  return {
    parent: mergeValue(base.parent, local.parent, remote.parent),
    name: mergeValue(base.name, local.name, remote.name),
  };`,
    without: "  return samePlace(remote, base) ? local : remote;",
  },
  /** Where only metadata changed, the log's time is taken, whoever set one. */
  "time-of-log": {
    rule: "R5",
    seeds: 200,
    file: "src/core/merge.ts",
    guard: "mtimeNs: isEdited ? mtimeNs : mergeValue(base.mtimeNs, local.mtimeNs, remote.mtimeNs),",
    without: "mtimeNs,",
  },
  /** What was posted is forgotten by a kill: it comes back as somebody else's. */
  "forget-posted": {
    rule: "Y17",
    seeds: 500,
    file: "src/client/connect/own-ops.ts",
    guard: `for (const op of batch.groups.flat()) this.#posted.add(op.opId);
    this.#keep();`,
    without: "for (const op of batch.groups.flat()) this.#posted.add(op.opId);",
  },
  /** Nothing is ever held. */
  "ask-nobody": {
    rule: "G2",
    seeds: 200,
    file: "src/core/guard.ts",
    guard: 'if (input.setting.kind !== "off" && !isNothing) {',
    without: "if (isNothing && !isNothing) {",
  },
  /** What a person approved asks everybody else, too. */
  "approve-for-oneself": {
    rule: "G4",
    seeds: 500,
    file: "src/client/hold.ts",
    guard: "return this.#approval?.nodes.has(id) === true ? this.#approval.id : undefined;",
    without: "return this.#approval?.nodes.has(id) === true ? undefined : undefined;",
  },
  /** A new file in an emptied folder lets the loss of all others go. */
  "emptied-no-more": {
    rule: "G3",
    seeds: 500,
    file: "src/core/guard.ts",
    guard: "const emptied = lost.filter((id) => input.isEmptied(id));",
    without: "const emptied = lost.filter(() => false);",
  },
};

/** Takes effect on what is imported from now on. */
export function plantMutant({ file, guard, without }: Mutant): void {
  const path = new URL(`../../${file}`, import.meta.url).pathname;
  Bun.plugin({
    name: "mutant",
    setup: (build) => {
      build.onLoad({ filter: new RegExp(`${RegExp.escape(path)}$`) }, async () => {
        const source = await Bun.file(path).text();
        return { contents: withoutGuard(source, guard, without), loader: "ts" };
      });
    },
  });
}

/** @throws {Error} where the guard does not stand there once */
export function withoutGuard(source: string, guard: string, without: string): string {
  const parts = source.split(guard);
  if (parts.length !== 2)
    throw new Error(`The guard "${guard}" stands there ${parts.length - 1} times`);
  return parts.join(without);
}
