/** Says what a FileSystemError on one path means to a person. Rules: D8, F21-F28. */
import type { ErrorCode } from "../../core/error.ts";
import type { FileSystemError } from "../../ports/filesystem.ts";

/** The problem's code for a path that could not be written. */
export function codeOfTrouble({ code }: FileSystemError): ErrorCode {
  switch (code) {
    case "full":
      return "storage_full";
    case "name":
    case "illegible":
      return "unsupported_name";
    case "other_device":
      return "other_file_system";
    case "not_directory":
      return "file_changed";
    case "denied":
    case "read_only":
    case "exhausted":
    case "io":
      return "file_unwritable";
  }
}
