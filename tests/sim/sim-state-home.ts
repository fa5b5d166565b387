/**
 * SimStateHome: one client's state database, the real SQLite one in memory. It survives the
 * client's crashes, since a transaction is durable when it returns; a dead incarnation cannot touch
 * it. Rules: S2, S4.
 */
import { openStateStore } from "../../src/adapters/sqlite-state-store.ts";
import type { StateStore, StateStoreHome } from "../../src/ports/state-store.ts";
import { Killed } from "./sim-filesystem.ts";

/** What a planted bug puts between the engine and the store. */
export type StoreWrapper = (store: StateStore) => StateStore;

const WRITE = /^(put|set|add|remove|settle|forget|adopt|clear|mark|prune)/;

/** The database file: outlives incarnations, can be lost. */
export class SimStateFile {
  store: StateStore | undefined;
  setAsides = 0;
  /** Transactions and single writes by any incarnation. */
  writes = 0;

  open(): StateStore {
    this.store ??= openStateStore(":memory:");
    return this.store;
  }

  drop(): void {
    this.store?.close();
    this.store = undefined;
  }
}

export class SimStateHome implements StateStoreHome {
  readonly #file: SimStateFile;
  readonly #beforeCall: (name: string) => void;
  readonly #wrap: StoreWrapper;
  #dead = false;

  constructor(file: SimStateFile, beforeCall: (name: string) => void, wrap: StoreWrapper) {
    this.#file = file;
    this.#beforeCall = beforeCall;
    this.#wrap = wrap;
  }

  kill(): void {
    this.#dead = true;
  }

  open(): StateStore {
    this.#enter("open");
    return this.#wrap(this.#guard(this.#file.open()));
  }

  openCopy(): StateStore {
    throw new Error("A simulated client makes no dry runs");
  }

  exists(): boolean {
    this.#enter("exists");
    return this.#file.store !== undefined;
  }

  setAside(): void {
    this.#enter("setAside");
    this.#file.setAsides++;
    this.#file.drop();
  }

  #enter(name: string): void {
    if (this.#dead) throw new Killed(`${name} of a killed process`);
    this.#beforeCall(name);
    if (this.#dead) throw new Killed(`${name} of a killed process`);
  }

  /** The hook runs before transactions only: inside one no time passes. */
  #guard(inner: StateStore): StateStore {
    const check = () => {
      if (this.#dead) throw new Killed("store of a killed process");
    };
    const cache = new Map<PropertyKey, unknown>();
    return new Proxy(inner, {
      get: (target, key) => {
        const known = cache.get(key);
        if (known !== undefined) return known;
        const value = Reflect.get(target, key, target);
        if (typeof value !== "function") return value;
        const guarded =
          key === "transaction"
            ? (work: () => unknown) => {
                this.#enter("transaction");
                this.#file.writes++;
                return target.transaction(work);
              }
            : key === "close"
              ? check
              : (...args: unknown[]) => {
                  check();
                  if (WRITE.test(String(key))) this.#file.writes++;
                  return Reflect.apply(value, target, args);
                };
        cache.set(key, guarded);
        return guarded;
      },
    });
  }
}
