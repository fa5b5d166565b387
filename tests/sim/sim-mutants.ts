/**
 * Planted bugs within the product's code: one guard each is taken out while its file is loaded, so
 * that the simulation proves that it would miss the guard. For what no wrapper around a port can
 * break. To be planted before anything of the product is imported.
 */

export interface Mutant {
  /** Below the project's directory. */
  readonly file: string;
  /** Stands in the file exactly once. */
  readonly guard: string;
  readonly without: string;
}

export const MUTANTS: Readonly<Record<string, Mutant>> = {
  /** A write right after a rename hides behind the stamp that is recorded (A2, D2). */
  "trust-placed": {
    file: "src/client/apply-batch.ts",
    guard: 'return a.kind === "directory" || (a.size === b.size && a.mtimeNs === b.mtimeNs);',
    without: "return true;",
  },
  /** A write just before new metadata hides behind them (A2). */
  "trust-young": {
    file: "src/client/apply-batch.ts",
    guard: "this.draft.put({ ...node, stamp: now.stamp + RACY_MARK });",
    without: "this.draft.put({ ...node, stamp: now.stamp });",
  },
  /** On a folding disk another spelling is taken for the name itself (F51). */
  "ignore-spelling": {
    file: "src/client/spelling.ts",
    guard: 'if (stat === undefined || path === "" || !fs.capabilities.foldsNames) return stat;',
    without: 'if (path !== ".") return stat;',
  },
  /** A node that rules left out is not looked at again where its directory goes elsewhere (R15). */
  "forget-skipped": {
    file: "src/client/cycle.ts",
    guard: "for (const id of plan.skipped) store.forget(id);",
    without: "for (const id of plan.skipped) store.clearDirty(id);",
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
