/** What takes a folder's changes from A to B, in the same way for all programs. */
import type { Figures } from "./usage.ts";

export interface SessionOptions {
  /** A directory of its own, where it puts A, B and all else. */
  readonly root: string;
  /** A large file changes in part: send what changed, where that has to be asked for. */
  readonly sendsParts: boolean;
}

export interface Session {
  readonly a: string;
  readonly b: string;
  /**
   * Until B is said to be as A is, with `untilBoth` by both. Then it is watching, where the program
   * does that.
   */
  carry(options?: { readonly untilBoth: boolean }): Promise<void>;
  /** Until it would take what comes to A, and B has joined. */
  wait(): Promise<void>;
  /** From here on it is measured. */
  begin(): void;
  /** What was used between `begin` and the end of the last `carry`. */
  figures(): Figures;
  close(): Promise<void>;
}

export interface Carrier {
  readonly name: string;
  /** One that runs goes through all at each `carry`, and ends. */
  readonly kind: "synced" | "watches" | "runs";
  /** Times that it keeps are multiples of so many nanoseconds. @default 1 */
  readonly timeGrainNs?: bigint;
  /** How to install it, where it is not there. */
  readonly whyNot?: string;
  open(options: SessionOptions): Promise<Session>;
}
