/**
 * ScanRun: shared by the parts of one running scan: its ports, its overlay, its memory and its
 * agenda.
 * Rules: A1-A9, Y1.
 */
import type { Chunker } from "../../core/chunker.ts";
import { type NodeId, ROOT_ID } from "../../core/identifier.ts";
import { RACY_WINDOW_MS } from "../../core/limits.ts";
import { joinPath, RESERVED_NAME } from "../../core/path.ts";
import type { Stat } from "../../ports/filesystem.ts";
import type { Pace } from "../folder/pace.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { IgnoreFiles } from "./ignore-files.ts";
import type { Disappearances, Revisits } from "./memory.ts";
import type { ScanOverlay } from "./overlay.ts";
import type { ScanProblems } from "./problems.ts";

export type ScanPorts = Pick<ClientPorts, "fs" | "clock" | "random" | "store" | "observer">;

/** One directory to look at. */
export interface Task {
  readonly id: NodeId;
  readonly path: string;
  /** The entries to look at; undefined: all. */
  readonly names: ReadonlySet<string> | undefined;
  /** True if the directories in it are looked at as well, even those in their old places. */
  readonly deep: boolean;
  /** The nearest directory, from this one up, that was only overlaid when the task was made. */
  readonly under: NodeId | undefined;
}

/** An entry as the disk has it. */
export interface Entry {
  readonly name: string;
  readonly path: string;
  readonly stat: Stat;
}

/** A directory that was kept for entries which are gone by now (A8). */
export interface Emptied {
  readonly path: string;
  readonly identity: string;
}

interface RunParts {
  readonly ports: ScanPorts;
  readonly overlay: ScanOverlay;
  readonly problems: ScanProblems;
  readonly revisits: Revisits;
  readonly disappearances: Disappearances;
  readonly ignoreFiles: IgnoreFiles;
  readonly chunker: Chunker;
  readonly pace: Pace;
  readonly rootIdentity: string;
  /** True if the system reported the changes. Otherwise they may have happened at any time. */
  readonly isTold: boolean;
}

export class ScanRun {
  readonly ports: ScanPorts;
  readonly overlay: ScanOverlay;
  readonly problems: ScanProblems;
  readonly revisits: Revisits;
  readonly disappearances: Disappearances;
  readonly ignoreFiles: IgnoreFiles;
  readonly chunker: Chunker;
  readonly pace: Pace;
  readonly rootIdentity: string;
  readonly isTold: boolean;
  /** Clock.now(). */
  readonly startedMs: number;
  /** Nodes that were missing before this scan, and that it missed again. */
  readonly confirmed = new Set<NodeId>();
  /** Left-over directories that hold nothing any more, inner ones first. */
  readonly emptied: Emptied[] = [];
  /** The number of files looked at. */
  files = 0;
  /** True if the root was there at first, and later was not. */
  isRootLost = false;
  readonly #missingBefore: ReadonlySet<NodeId>;
  /** A stack, because the walk goes deep first, so that few directories wait at any time. */
  readonly #tasks: Task[] = [];
  /** Hints that wait until the walk has ended, by directory. */
  readonly #named = new Map<NodeId, { path: string; names: Set<string> }>();
  readonly #climbed = new Set<string>();

  constructor(parts: RunParts) {
    this.ports = parts.ports;
    this.overlay = parts.overlay;
    this.problems = parts.problems;
    this.revisits = parts.revisits;
    this.disappearances = parts.disappearances;
    this.ignoreFiles = parts.ignoreFiles;
    this.chunker = parts.chunker;
    this.pace = parts.pace;
    this.rootIdentity = parts.rootIdentity;
    this.isTold = parts.isTold;
    this.startedMs = parts.ports.clock.now();
    this.#missingBefore = new Set(parts.disappearances.ids());
  }

  add(task: Task): void {
    this.#tasks.push(task);
  }

  /** Looks at one path, or at the first directory on the way to it that is not known. */
  hint(path: string): void {
    if (path === "") {
      this.add({ id: ROOT_ID, path: "", names: undefined, deep: false, under: undefined });
      return;
    }
    let id: NodeId = ROOT_ID;
    let directory = "";
    let name = "";
    for (const next of path.split("/")) {
      if (name !== "") {
        const node = this.overlay.child(id, name);
        if (node?.content.kind !== "directory") break;
        id = node.id;
        directory = joinPath(directory, name);
      }
      name = next;
    }
    if (name === "" || (directory === "" && name === RESERVED_NAME)) return;
    const known = this.#named.get(id);
    if (known === undefined) this.#named.set(id, { path: directory, names: new Set([name]) });
    else known.names.add(name);
  }

  /** A path to be looked into is not there (any more), so this looks at it from above, once. */
  climb(path: string): void {
    if (path === "") {
      this.isRootLost = true;
    } else if (this.#climbed.has(path)) {
      this.revisits.retry(path, this.ports.clock.monotonic());
    } else {
      this.#climbed.add(path);
      this.hint(path);
    }
  }

  next(): Task | undefined {
    const task = this.#tasks.pop();
    if (task !== undefined) return task;
    for (const [id, { path, names }] of this.#named) {
      this.#named.delete(id);
      return { id, path, names, deep: false, under: this.nearestOverlaid(id) };
    }
    return undefined;
  }

  /** The nearest directory, from this one up, that is only overlaid. */
  nearestOverlaid(id: NodeId): NodeId | undefined {
    let next = id;
    for (let depth = 0; next !== ROOT_ID && depth < DEPTH_MAX; depth++) {
      if (this.overlay.has(next)) return next;
      const node = this.overlay.get(next);
      if (node === undefined) return undefined;
      next = node.parent;
    }
    return undefined;
  }

  /** A node is not in its place. */
  lose(id: NodeId): void {
    if (this.#missingBefore.has(id) && this.disappearances.has(id)) this.confirmed.add(id);
    this.disappearances.add(id, this.ports.clock.monotonic(), this.isTold);
  }

  /** True if an equal stamp may hide a later change (A2). */
  isYoung(stat: Stat): boolean {
    return stat.changedMs > this.startedMs - RACY_WINDOW_MS;
  }

  isIgnored(path: string, isDirectory: boolean): boolean {
    const { rules } = this.ignoreFiles;
    return !rules.isEmpty && rules.ignores(path, isDirectory);
  }

  /** True as long as the task's path leads to the task's directory. */
  isStillThere(task: Task): boolean {
    const stat = this.ports.fs.stat(task.path);
    if (stat?.kind !== "directory") return false;
    const expected = task.id === ROOT_ID ? this.rootIdentity : this.overlay.get(task.id)?.identity;
    return stat.identity === expected;
  }
}

/** No legal tree is so deep. */
const DEPTH_MAX = 4096;
