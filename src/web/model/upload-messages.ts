/** Messages between the page and its upload worker. */
import type { ChunkerProfile } from "../../core/chunker.ts";

export interface UploadJob {
  readonly id: number;
  readonly file: File;
}

/** Files that are stored together. The page makes the ops, since it knows names and versions. */
export interface UploadRequest {
  readonly route: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly chunker: ChunkerProfile;
  readonly jobs: readonly UploadJob[];
}

export interface StoredContent {
  readonly kind: "file";
  readonly manifest: string;
  readonly depth: number;
  readonly sha256: string;
  readonly size: number;
  readonly executable: false;
  readonly mtimeNs: string;
}

export type UploadNews =
  /** So many of the file's bytes are at the server, or were there before. */
  | { readonly kind: "progress"; readonly id: number; readonly bytes: number }
  | { readonly kind: "stored"; readonly id: number; readonly content: StoredContent }
  | { readonly kind: "failed"; readonly id: number; readonly reason: string }
  | { readonly kind: "done" };
