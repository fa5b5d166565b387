/** Journal: notes for recovery about a step, written before the step is taken. Rules: D7, I14. */

import { type Digest, sha256 } from "../../core/digest.ts";
import type { NodeId } from "../../core/identifier.ts";
import type { Content } from "../../core/node.ts";
import { nodeOf, type Transition } from "../../core/transition.ts";
import type { JournalEntry } from "../../ports/state-store.ts";
import type { ClientPorts } from "../folder/ports.ts";
import type { StagedFile } from "../stage/stage.ts";
import type { ApplyBatch } from "./batch.ts";
import { noteName } from "./former-names.ts";

type JournalPorts = Pick<ClientPorts, "store" | "fs" | "random">;

/**
 * Writes the notes that recovery needs, many in one transaction, before the first of these steps is
 * taken. If a noted step is then not done, recovery finds it undone.
 */
export class Journal {
  readonly #ports: JournalPorts;
  readonly #batch: ApplyBatch;
  readonly #staged: ReadonlyMap<NodeId, StagedFile>;
  readonly #written = new Map<number, string>();
  /** Every step before this one has its entry, or needs none. */
  #looked = 0;

  constructor(ports: JournalPorts, batch: ApplyBatch, staged: ReadonlyMap<NodeId, StagedFile>) {
    this.#ports = ports;
    this.#batch = batch;
    this.#staged = staged;
  }

  /** @returns the id of that step's entry; undefined if it needs none. */
  write(steps: readonly Transition[], index: number): string | undefined {
    if (index < this.#looked) return this.#written.get(index);
    const entries: Omit<JournalEntry, "order">[] = [];
    // Goes on to the next step that changes paths, because an entry holds the path of the moment of
    // its step.
    for (this.#looked = index; this.#looked < steps.length; this.#looked += 1) {
      const step = steps[this.#looked];
      if (step === undefined || step.kind === "create" || step.kind === "move") break;
      const entry = this.#entryOf(step);
      if (entry === undefined) continue;
      entries.push(entry);
      this.#written.set(this.#looked, entry.id);
    }
    if (entries.length === 0) return undefined;
    for (const { id, path } of entries) noteName(this.#ports.fs, id, path);
    this.#ports.store.transaction(() => {
      for (const entry of entries) this.#ports.store.addJournal(entry);
    });
    return this.#written.get(index);
  }

  #entryOf(step: Transition): Omit<JournalEntry, "order"> | undefined {
    const path = this.#batch.path(nodeOf(step));
    if (path === undefined) return undefined;
    if (step.kind === "delete" && step.expected.content.kind !== "directory") {
      const id = this.#ports.random.id<string>();
      return { id, kind: "delete", node: step.id, path, ...oldDigestOf(step.expected.content) };
    }
    if (step.kind !== "replace") return undefined;
    const id = this.#staged.get(step.id)?.id;
    if (step.content.kind === "file" && id === undefined) return undefined;
    return {
      id: id ?? this.#ports.random.id<string>(),
      kind: step.conflict === undefined ? "replace" : "conflict",
      node: step.id,
      path,
      ...oldDigestOf(step.expected.content),
      newDigest: digestOfContent(step.content) ?? sha256(""),
    };
  }
}

function oldDigestOf(content: Content): { oldDigest?: Digest } {
  const oldDigest = digestOfContent(content);
  return oldDigest === undefined ? {} : { oldDigest };
}

function digestOfContent(content: Content): Digest | undefined {
  switch (content.kind) {
    case "file":
      return content.sha256;
    case "symlink":
      return sha256(content.target);
    case "directory":
      return undefined;
  }
}
