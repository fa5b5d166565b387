/** Codes of trouble that neither time nor news mends. Rules: Y3, Y4, D9. */
import type { ErrorCode } from "../../core/error.ts";

/** A path with such a trouble cannot be in sync here, so it is only listed. */
export const NEVER_SYNCED: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "name_collision",
  "file_protected",
  "file_unreadable",
  "unsupported_kind",
  "unsupported_name",
  "other_file_system",
  "formerly_ignored",
  "invalid_path",
  "reserved_name",
  "path_too_long",
  "batch_too_large",
  "file_too_large",
  "quota_exceeded",
]);

/** No news from the log changes these. */
export const FINAL_REFUSALS: ReadonlySet<string> = new Set([
  "invalid_path",
  "reserved_name",
  "path_too_long",
  "kind_change",
  "invalid_manifest",
  "file_too_large",
  "idempotency_key_reused",
]);
