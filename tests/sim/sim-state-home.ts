/**
 * SimStateHome: one client's state database, the real SQLite one in memory. It survives the
 * client's crashes, since a transaction is durable when it returns; a dead incarnation cannot touch
 * it. Rules: S2, S4.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { openDatabase } from "../../src/adapters/state/schema.ts";
import { openStateStore, stateStoreIn } from "../../src/adapters/state/store.ts";
import type { Barrier, StateStore, StateStoreHome } from "../../src/ports/state-store.ts";
import { Killed } from "./sim-filesystem.ts";

/** What a planted bug puts between the engine and the store. */
export type StoreWrapper = (store: StateStore) => StateStore;

/** Pruning is not among them: where there is nothing to prune, it writes nothing. */
const WRITE = /^(put|set|add|remove|settle|forget|adopt|clear|mark)/;

/** Databases in memory go by their names in the whole process. */
let databases = 0;

/**
 * Empty databases that lives have left, each with the statements that were prepared in it: to make
 * them anew costs a short life a tenth of its time.
 */
const emptied: DatabaseSync[] = [];

/** All that a new database has no rows in; the triggers count the base's. */
const EMPTY = [
  ...["base", "local", "remote", "dirty", "manifest", "cursor", "problem", "conflict", "journal"],
  ...["quarantine", "birth", "leftover", "value", "sqlite_sequence"],
].map((table) => `DELETE FROM ${table}`);

function takeDatabase(): DatabaseSync {
  const known = emptied.pop();
  if (known !== undefined) return known;
  const database = openDatabase(":memory:");
  const prepare = database.prepare.bind(database);
  const statements = new Map<string, StatementSync>();
  database.prepare = (sql) => {
    const statement = statements.get(sql) ?? prepare(sql);
    statements.set(sql, statement);
    return statement;
  };
  return database;
}

/** @param database whose store is not used any more */
function giveBack(database: DatabaseSync): void {
  database.exec("BEGIN");
  for (const sql of EMPTY) database.prepare(sql).run();
  database.exec("COMMIT");
  emptied.push(database);
}

/** A database in memory; this connection keeps it alive. */
interface Kept {
  readonly url: string;
  readonly database: DatabaseSync;
}

function keep(): Kept {
  const url = `file:sim-state-${databases++}?mode=memory&cache=shared`;
  return { url, database: new DatabaseSync(url) };
}

/** The database file: outlives incarnations, can be lost, can go back to an older copy. */
export class SimStateFile {
  store: StateStore | undefined;
  setAsides = 0;
  /** Transactions and single writes by any incarnation. */
  writes = 0;
  readonly #isCopied: boolean;
  /** Without copies. */
  #own: DatabaseSync | undefined;
  #current: Kept | undefined;
  #copy: Kept | undefined;
  /** How much had been written when it was made. */
  #copiedWrites = 0;

  /** @param isCopied whether `copy` and `rollBack` will be called. */
  constructor(isCopied: boolean) {
    this.#isCopied = isCopied;
  }

  open(): StateStore {
    this.store ??= this.#isCopied ? this.#openKept() : this.#openOwn();
    return this.store;
  }

  #openOwn(): StateStore {
    this.#own ??= takeDatabase();
    return stateStoreIn(this.#own);
  }

  #openKept(): StateStore {
    this.#current ??= keep();
    return openStateStore(this.#current.url);
  }

  /** Somebody makes a backup of the file. */
  copy(): void {
    if (this.store === undefined || this.#current === undefined) return;
    if (this.#copy !== undefined && this.#copiedWrites === this.writes) return;
    this.#copiedWrites = this.writes;
    this.#copy?.database.close();
    this.#copy = keep();
    this.#current.database.exec(`VACUUM INTO '${this.#copy.url}'`);
  }

  /** @returns false where there is no copy to go back to. */
  rollBack(): boolean {
    const copy = this.#copy;
    if (copy === undefined) return false;
    this.drop();
    this.#copy = undefined;
    this.#current = copy;
    return true;
  }

  drop(): void {
    if (this.#own === undefined) this.store?.close();
    else {
      // Its reads are over then.
      this.store?.checkpoint();
      giveBack(this.#own);
      this.#own = undefined;
    }
    this.store = undefined;
    this.#current?.database.close();
    this.#current = undefined;
  }

  /** Nothing is left of it. */
  end(): void {
    this.drop();
    this.#copy?.database.close();
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
    // All that is no method is inherited.
    const guarded: StateStore = Object.create(inner);
    for (const name of methodsOf(inner)) {
      const method = Reflect.get(inner, name).bind(inner);
      const isWrite = WRITE.test(name);
      const value = (...args: unknown[]) => {
        check();
        if (isWrite) this.#file.writes++;
        return method(...args);
      };
      Object.defineProperty(guarded, name, { value, configurable: true });
    }
    const transaction = <Result>(work: () => Result, barrier?: Barrier): Result => {
      this.#enter("transaction");
      this.#file.writes++;
      return inner.transaction(work, barrier);
    };
    return Object.defineProperties(guarded, {
      transaction: { value: transaction },
      close: { value: check },
    });
  }
}

function methodsOf(store: StateStore): ReadonlySet<string> {
  const names = new Set<string>();
  for (let level = store; level !== Object.prototype; level = Object.getPrototypeOf(level)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level)))
      if (typeof value === "function" && name !== "constructor") names.add(name);
  }
  return names;
}
