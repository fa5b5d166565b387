/**
 * LogNews: what servers that share their metadata tell each other of commits. Rules: P12. A server
 * that shares with nobody has none.
 */
import type { FolderName } from "../core/identifier.ts";
import type { Sequence } from "../core/node.ts";

export interface LogNews {
  /** Resolves with the error when a log went back, so that what is remembered of it is wrong. */
  readonly failure: Promise<unknown>;
  /**
   * Calls `listener` with a folder's head when it is another, whoever committed; within a second or
   * two of the commit. The listener must not throw or block.
   */
  watch(listener: (folder: FolderName, head: Sequence) => void): void;
  /** Tells the others to look now. It may be lost. */
  tell(): void;
  /** Ends what it does in the background. */
  stop(): Promise<void>;
}
