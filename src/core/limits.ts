/** Every bound in one place, each with its reason. Rules: N3, N4, C1, G2, H4. */

const KIB = 1024;
const MIB = 1024 * KIB;

/** ext4, XFS, APFS, NTFS: 255 bytes or units a name. */
export const NAME_BYTES_MAX = 255;
/** Linux PATH_MAX. */
export const PATH_BYTES_MAX = 4096;
/** Deep enough for people, shallow enough for recursion and cycle checks. */
export const PATH_DEPTH_MAX = 256;
/** Linux PATH_MAX is the longest target that a symlink can hold. */
export const SYMLINK_TARGET_BYTES_MAX = 4096;
/** The chunker's start profile: a property of the folder, fixed at creation. */
export const CHUNK_SIZE_BYTES_MIN = 32 * KIB;
export const CHUNK_SIZE_BYTES_AVERAGE = 128 * KIB;
export const CHUNK_SIZE_BYTES_MAX = MIB;
/** One object in a pack: the largest chunk or manifest any profile may make. */
export const OBJECT_SIZE_BYTES_MAX = 8 * MIB;
/** Children a manifest object may list: 4096 x 40 bytes keeps it far below an object's bound. */
export const MANIFEST_CHILDREN_MAX = 4096;
/** Depth 3 of 4096 children of average chunks is beyond any file. */
export const MANIFEST_DEPTH_MAX = 3;
/** 2^53 - 1: sizes and seqs are JSON numbers. */
export const FILE_SIZE_BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** One POST ops: keeps a transaction short and a retry cheap. */
export const OPS_PER_BATCH_MAX = 1000;
/** A group cannot be split; a rotation of more names than this is refused, and listed. */
export const OPS_PER_GROUP_MAX = 1000;
/** New nodes of one side that a client plans at once: about 100 MB and a second of thinking. */
export const NEW_NODES_PER_PLAN_MAX = 30_000;
/** JSON of a full batch with the longest names. */
export const OPS_BODY_BYTES_MAX = 16 * MIB;
/**
 * A pack of many objects: large enough to amortise a round trip, small enough to hold in memory.
 */
export const PACK_BYTES_MAX = 32 * MIB;
export const OBJECTS_PER_REQUEST_MAX = 10_000;
export const EVENTS_PER_PAGE_DEFAULT = 500;
export const EVENTS_PER_PAGE_MAX = 1000;
export const TREE_NODES_PER_PAGE_MAX = 5000;
/** Files up to this size travel beside their event when the reader asks for it. */
export const INLINE_BYTES_MAX = 8 * KIB;
/** JSON deeper than this is an attack: our deepest message nests 7. */
export const JSON_DEPTH_MAX = 16;
/** RFC 6750 b64token; long enough to resist guessing, short enough for a header. */
export const TOKEN_LENGTH_MIN = 16;
export const TOKEN_LENGTH_MAX = 256;
/** One idle event stream says that it is alive this often; a reader gives up after three. */
export const HEARTBEAT_INTERVAL_MS = 15_000;
export const HEARTBEAT_TIMEOUT_MS = 45_000;
/** Directories of one path, one after the other, in whose time its history is looked for. */
export const HISTORY_DIRECTORIES_MAX = 1000;
/** A stream's unread bytes before its reader is dropped; it resumes from its cursor. */
export const STREAM_BUFFER_BYTES_MAX = 1 * MIB;
export const DEVICE_NAME_LENGTH_MAX = 64;
/** A signature younger than this may hide an equal-looking later write (racy rule). */
export const RACY_WINDOW_MS = 2_000;
/** What lives shorter beside the file that it is renamed over is nobody's business but its writer's. */
export const TEMPORARY_AGE_MS_MIN = 50;
/**
 * Between being made or emptied and being written a file stays empty for less than this, and what
 * is still growing by then may do so for long.
 */
export const UNWRITTEN_AGE_MS_MIN = 300;
/** A new file above this size takes several writes; what is smaller waits for nothing. */
export const ONE_WRITE_BYTES_MAX = 8 * KIB;
/** Smaller files are read whenever they change: that takes 20 ms. */
export const BUSY_FILE_BYTES_MIN = 4 * MIB;
/** What grows all the time is sent this often at most: all others write it anew each time. */
export const BUSY_FILE_REST_MS_MIN = 20_000;
/** Renames and atomic saves settle, and a running `rm -rf` is judged as one. */
export const DELETE_SETTLE_MS = 300;
export const QUARANTINE_AGE_MS_MIN = 60_000;
export const FULL_SCAN_INTERVAL_MS = 600_000;
/** Losing versions of one file on one device, each within so long of the last, are one quarrel. */
export const QUARREL_PAUSE_MS_MAX = 600_000;
/** Bulk guard: more than max(count, share) of the files in one window wants a reason, or is held. */
export const GUARD_DELETE_COUNT = 50;
export const GUARD_DELETE_SHARE = 0.25;
export const GUARD_OVERWRITE_COUNT = 1_000;
export const GUARD_OVERWRITE_SHARE = 0.5;
export const GUARD_WINDOW_MS = 60_000;
/** An emptied root is held when the base has more files than this; so many must live elsewhere. */
export const GUARD_EMPTIED_FILES_MIN = 10;
/** What a device made and deletes within a day is its own affair: builds, downloads, drafts. */
export const GUARD_OWN_AGE_MS = 86_400_000;
/** So much of a deletion below one directory is about that directory. */
export const GUARD_ONE_DIRECTORY_SHARE = 0.9;
/** What encrypts a file writes it anew and then deletes it; a deletion settles within a minute. */
export const GUARD_BESIDE_AGE_MS = 180_000;
export const RETRY_DELAY_MS_MIN = 500;
export const RETRY_DELAY_MS_MAX = 60_000;
/** A person who has just started the server again does not want to wait for a minute. */
export const RECONNECT_DELAY_MS_MAX = 10_000;
/** What a server asks for in `Retry-After` counts up to this: a person may have mended it by then. */
export const RETRY_AFTER_MS_MAX = 60_000;
/** Events of a live stream that wait to be folded; more are asked for by pages, at our own pace. */
export const STREAM_EVENTS_KEPT_MAX = EVENTS_PER_PAGE_MAX;
/** `--once` gives up on an unreachable server after this. */
export const ONCE_UNREACHABLE_MS = 30_000;
/** `.syncedignore` comes from other devices: more, or slower patterns, would stall a scan. */
export const IGNORE_FILE_BYTES_MAX = 64 * KIB;
export const IGNORE_PATTERNS_MAX = 2_000;
/**
 * A pattern longer than the longest path matches nothing; this also bounds its regular expression.
 */
export const IGNORE_PATTERN_LENGTH_MAX = PATH_BYTES_MAX;
/** Each `**` multiplies the ways to match by the path's depth. */
export const IGNORE_GLOBSTARS_MAX = 3;
/**
 * Ops that one transaction takes from a folder's queue: bounds its memory and how long others wait.
 */
export const COMMIT_OPS_MAX = 5_000;
/**
 * Batches waiting for a folder's next transaction: seconds of work; more is answered with "later".
 */
export const COMMIT_QUEUE_MAX = 4_096;
/** Times that a commit, a PUT or a DELETE starts again after another one came first. */
export const COMMIT_ATTEMPTS_MAX = 32;
/** Objects that are read ahead for one download: hides the disk, holds a few MiB. */
export const READ_AHEAD_OBJECTS = 4;
/** A streamed upload is stored in steps of about this size: one barrier a step. */
export const UPLOAD_STEP_BYTES = 8 * MIB;
/**
 * Free space on the server's disk that uploads leave alone: what needs no new bytes (deletes,
 * moves, downloads) goes on when it is full, and SQLite can fold its logs in.
 */
export const STORAGE_RESERVE_BYTES_MAX = 64 * MIB;
/** Of a disk so small that this would be most of it. */
export const STORAGE_RESERVE_SHARE = 1 / 16;
/** How often the heads are compared with what PostgreSQL has: a second is nothing to a person. */
export const FILES_LOG_POLL_MS = 1_000;
/** At rest PostgreSQL is asked this often whether it is still there. */
export const FILES_LOG_CHECK_MS = 30_000;

/**
 * Events back to which each cursor is remembered, for when the server is restored from a backup:
 * further back than this a common point may be missed by half the distance. 110 bytes each.
 */
export const CURSORS_RECENT_MAX = 4_096;
