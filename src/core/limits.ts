/**
 * The bounds that people, other programs or several files meet, each with its reason. Rules: N3,
 * N4, C1, G2, H4.
 */

const KIB = 1024;
const MIB = 1024 * KIB;

/** ext4, XFS, APFS and NTFS allow 255 bytes or units in a name. */
export const NAME_BYTES_MAX = 255;
/** Linux PATH_MAX. */
export const PATH_BYTES_MAX = 4096;
/** Deep enough for people, and shallow enough for recursion and cycle checks. */
export const PATH_DEPTH_MAX = 256;
/** Linux PATH_MAX is the longest target that a symlink can hold. */
export const SYMLINK_TARGET_BYTES_MAX = 4096;
/** A new folder's chunker profile; the folder keeps it for life. */
export const CHUNK_SIZE_BYTES_MIN = 32 * KIB;
export const CHUNK_SIZE_BYTES_AVERAGE = 128 * KIB;
export const CHUNK_SIZE_BYTES_MAX = MIB;
/** A server's profile below this would cost a client 40 bytes of manifest for a few of content. */
export const SERVED_CHUNK_SIZE_BYTES_MIN = 4 * KIB;
/** One object in a pack: the largest chunk or manifest that any profile can make. */
export const OBJECT_SIZE_BYTES_MAX = 8 * MIB;
/** At 40 bytes a child, a manifest object stays far below the bound on objects. */
export const MANIFEST_CHILDREN_MAX = 4096;
/** No file needs more: depth 3 holds 4096^3 average chunks. */
export const MANIFEST_DEPTH_MAX = 3;
/** 2^53 - 1, because sizes and seqs are JSON numbers. */
export const FILE_SIZE_BYTES_MAX = Number.MAX_SAFE_INTEGER;
/** Ops in one POST: keeps the transaction short and a retry cheap. */
export const OPS_PER_BATCH_MAX = 1000;
/** A group cannot be split. A rotation of more names is not posted; `status` lists it. */
export const OPS_PER_GROUP_MAX = 1000;
/** New nodes that only one side has and that a client plans at once: about 100 MB and a second. */
export const NEW_NODES_PER_PLAN_MAX = 30_000;
/** Enough for the JSON of a full batch with the longest names. */
export const OPS_BODY_BYTES_MAX = 16 * MIB;
/** One pack: large enough to amortise a round trip, small enough to hold in memory. */
export const PACK_BYTES_MAX = 32 * MIB;
/** Their digests are 700 KB of JSON. */
export const OBJECTS_PER_REQUEST_MAX = 10_000;
/** Rows of one answer, of some hundred bytes each: a round trip, and little memory. */
export const EVENTS_PER_PAGE_DEFAULT = 500;
export const EVENTS_PER_PAGE_MAX = 1000;
export const TREE_NODES_PER_PAGE_MAX = 5000;
/** A page ends early at about this size: names, paths and targets may be 4 KiB long. */
export const PAGE_BYTES_MAX = 4 * MIB;
/** Files up to this size travel beside their event if the reader asks for that. */
export const INLINE_BYTES_MAX = 8 * KIB;
/** Deeper JSON is an attack, because the deepest message nests 7 levels. */
export const JSON_DEPTH_MAX = 16;
/**
 * A token's length; its form is b64token of RFC 6750. Long enough to resist guessing, short enough
 * for a header.
 */
export const TOKEN_LENGTH_MIN = 16;
export const TOKEN_LENGTH_MAX = 256;
/** A token has room for so many where others can reach the server: nobody tries 2^128 texts. */
export const TOKEN_BITS_MIN = 128;
/** Revoked ones stay in the list, so this is years of one's devices and links. */
export const TOKENS_MAX = 10_000;
/** A token for more folders is one for all of them. */
export const FOLDERS_PER_TOKEN_MAX = 1_000;
/** A token is one device's; whoever makes up more of them is not listed any more. */
export const DEVICES_PER_TOKEN_MAX = 100;
/** Orders that wait for the devices of a folder: two a device, for more devices than it has. */
export const ORDERS_PER_FOLDER_MAX = 1_000;
/** A device that was off for longer would be surprised by an order. */
export const ORDER_LIFE_MS = 7 * 24 * 3_600_000;
/** Enough paths for a person to recognise a held change; with the longest ones, one fits. */
export const HELD_EXAMPLES_MAX = 10;
export const HELD_EXAMPLES_LENGTH_MAX = 4_096;
/** Wrong tokens from one address in a minute; a client with a stale one shows six. */
export const REFUSED_TOKENS_MAX = 20;
export const REFUSED_TOKENS_WINDOW_MS = 60_000;
/** Addresses whose wrong tokens are counted: a megabyte. */
export const REFUSED_ADDRESSES_MAX = 10_000;
/** Event streams of one token: one for each device that may use it, and some of browsers. */
export const STREAMS_PER_TOKEN_MAX = 200;
/** New folders, and devices that report, of one token or address in a day. */
export const FOLDERS_MADE_MAX = 200;
export const DEVICES_REPORTED_MAX = 1_000;
export const ALLOWANCE_WINDOW_MS = 86_400_000;
/** Names of such folders and devices that are remembered: ten megabytes. */
export const ALLOWANCE_NAMES_KEPT_MAX = 100_000;
/** Lines a minute about what admins do: enough for a person's work, and for a script's first. */
export const AUDIT_LINES_MAX = 60;
export const AUDIT_WINDOW_MS = 60_000;
/** So often the tokens behind open streams and uploads are looked at again. */
export const TOKEN_CHECK_INTERVAL_MS = 2_000;
/** An idle event stream sends a heartbeat this often; a reader gives up after three. */
export const HEARTBEAT_INTERVAL_MS = 15_000;
export const HEARTBEAT_TIMEOUT_MS = 45_000;
/** How many directories of one path, one after the other, are searched for its history. */
export const HISTORY_DIRECTORIES_MAX = 1000;
/**
 * A piece of an event stream ends with the event that reaches this length. One piece waits for each
 * reader, and there may be a thousand readers that take nothing.
 */
export const STREAM_PIECE_BYTES = 32 * KIB;
/** Leaves most of a conflict copy's 255 bytes to the file's own name. */
export const DEVICE_NAME_LENGTH_MAX = 64;
/** A younger stamp may hide a later write that leaves it equal (the racy rule). */
export const RACY_WINDOW_MS = 2_000;
/**
 * An entry that is renamed over a file sooner than this concerns only the program that wrote it.
 */
export const TEMPORARY_AGE_MS_MIN = 50;
/**
 * A program fills a file that it made or emptied within this time. A file that still grows after it
 * may go on growing for long.
 */
export const UNWRITTEN_AGE_MS_MIN = 300;
/**
 * A program needs several writes for a new file above this size. A smaller file waits for nothing.
 */
export const ONE_WRITE_BYTES_MAX = 8 * KIB;
/** Smaller files are read whenever they change, because that takes at most 20 ms. */
export const BUSY_FILE_BYTES_MIN = 4 * MIB;
/**
 * A file that grows all the time is sent this often at most, because all others write it anew each
 * time.
 */
export const BUSY_FILE_REST_MS_MIN = 25_000;
/** Lets renames and atomic saves settle, and lets a running `rm -rf` be judged as one change. */
export const DELETE_SETTLE_MS = 300;
/** A program that has a file open seldom writes to it for longer after it was replaced. */
export const QUARANTINE_AGE_MS_MIN = 60_000;
/** Finds what watching missed, without a load; `--interval` is another one. */
export const FULL_SCAN_INTERVAL_MS = 600_000;
/**
 * Losing versions of one file on one device belong to one quarrel if no pause between them is
 * longer.
 */
export const QUARREL_PAUSE_MS_MAX = 600_000;
/**
 * The bulk guard holds deletions of more than max(count, share) of the files in one window, unless
 * evidence spares them.
 */
export const GUARD_DELETE_COUNT = 50;
export const GUARD_DELETE_SHARE = 0.25;
/**
 * Here a formatter or a build may rewrite a small folder. What comes from elsewhere is held from as
 * few as deletions are.
 */
export const GUARD_OVERWRITE_COUNT = 1_000;
export const GUARD_RECEIVED_OVERWRITE_COUNT = 50;
export const GUARD_OVERWRITE_SHARE = 0.5;
export const GUARD_WINDOW_MS = 60_000;
/** Changes from the server are also judged over these, so that patience does not pay. */
export const GUARD_HOUR_MS = 3_600_000;
export const GUARD_DAY_MS = 86_400_000;
/** Changes of a day that are remembered for that: some 30 MB. */
export const GUARD_EARLIER_NODES_MAX = 200_000;
/**
 * An emptied root is held if the base has more files than this. So many must also live elsewhere
 * when a directory goes.
 */
export const GUARD_EMPTIED_FILES_MIN = 10;
/**
 * Files that a device made and deletes within a day are its own affair: builds, downloads, drafts.
 */
export const GUARD_OWN_AGE_MS = 86_400_000;
/** If one directory holds this share of a deletion, the deletion is about that directory. */
export const GUARD_ONE_DIRECTORY_SHARE = 0.9;
/**
 * A program that encrypts a file writes it anew, then deletes the old one. A deletion settles
 * within a minute.
 */
export const GUARD_BESIDE_AGE_MS = 180_000;
/** Soon enough for trouble of a moment, and no load while it lasts. */
export const RETRY_DELAY_MS_MIN = 500;
export const RETRY_DELAY_MS_MAX = 60_000;
/** A person who has just restarted the server should not have to wait for a minute. */
export const RECONNECT_DELAY_MS_MAX = 10_000;
/** A longer `Retry-After` is cut to this, because a person may have mended the server by then. */
export const RETRY_AFTER_MS_MAX = 60_000;
/**
 * Events of a live stream that wait to be folded. The client pages through the rest at its own
 * pace.
 */
export const STREAM_EVENTS_KEPT_MAX = EVENTS_PER_PAGE_MAX;
/** `--once` gives up when the server was unreachable for this long. */
export const ONCE_UNREACHABLE_MS = 30_000;
/** `.syncedignore` comes from other devices. More patterns, or slower ones, would stall a scan. */
export const IGNORE_FILE_BYTES_MAX = 64 * KIB;
export const IGNORE_PATTERNS_MAX = 2_000;
/** Of all rules files that apply in one directory. */
export const IGNORE_CHAIN_PATTERNS_MAX = 4_000;
/** Of all rules files of a folder. Each takes up to 3 KiB and 50 µs once it is asked for. */
export const IGNORE_TOTAL_MAX = 20_000;
/**
 * Changes by other devices that un-ignore something, until a person agrees. Each is judged for each
 * new entry, as long as it waits. A device in daily use by several people reaches two or three.
 */
export const FORMER_RULES_MAX = 8;
/**
 * Renames by other devices that took directories out from under a rule, until a person agrees. A
 * person does that once in a while; after as many, nothing new is sent.
 */
export const FORMER_PATHS_MAX = 64;
/** A longer pattern matches no legal path. This also bounds its regular expression. */
export const IGNORE_PATTERN_LENGTH_MAX = PATH_BYTES_MAX;
/** Each `**` multiplies the number of ways to match by the path's depth. */
export const IGNORE_GLOBSTARS_MAX = 3;
/** More than one `**` in a pattern, where it applies: 60 deep, 2,000 such take 100 ms a path. */
export const IGNORE_GLOBSTAR_PATTERNS_MAX = 100;
/**
 * Ops that one transaction takes from a folder's queue: bounds its memory and the wait of others.
 */
export const COMMIT_OPS_MAX = OPS_PER_BATCH_MAX;
/**
 * Batches that wait for a folder's next transaction: seconds of work. The server answers more with
 * "later".
 */
export const COMMIT_QUEUE_MAX = 4_096;
/**
 * Memory that requests and answers under way may hold together. With it a server under attack stays
 * below 512 MB (I42).
 */
export const MEMORY_BYTES_MAX = 128 * MIB;
/** Left for requests of up to 1 MiB, so that large ones never keep small ones out. */
export const MEMORY_RESERVE_BYTES = 32 * MIB;
/** How long a request waits for memory; then it is told to come again. */
export const MEMORY_WAIT_MS_MAX = 5_000;
/** How many requests wait for memory. */
export const MEMORY_WAITERS_MAX = 256;
/** How often a commit, a PUT or a DELETE starts again because another one came first. */
export const COMMIT_ATTEMPTS_MAX = 32;
/** Objects read ahead for one download: hides the disk's latency and holds a few MiB. */
export const READ_AHEAD_OBJECTS = 4;
/** The server stores a streamed upload in steps of about this size, with one barrier a step. */
export const UPLOAD_STEP_BYTES = 8 * MIB;
/**
 * Free space that uploads leave on the server's disk. So everything that needs no new bytes
 * (deletes, moves, downloads) works on a full disk, and SQLite can checkpoint its logs.
 */
export const STORAGE_RESERVE_BYTES_MAX = 64 * MIB;
/** On a small disk the reserve is this share of it instead. */
export const STORAGE_RESERVE_SHARE = 1 / 16;
/**
 * Objects that no event names are kept for so long, because an upload may be interrupted for a
 * night. Nothing but work depends on it: who needs a collected object sends it again.
 */
export const UNNAMED_AGE_MS_MIN = 86_400_000;
/** A device that asks for an object makes it young again, but not with a write each time. */
export const TOUCH_INTERVAL_MS = UNNAMED_AGE_MS_MIN / 2;
/** How long a server can say that damage was healed. A quarter has looks at least every month. */
export const HEALED_KNOWN_MS = 90 * 86_400_000;

/** How often a running server collects garbage: what it finds is at least a day old. */
export const COLLECT_INTERVAL_MS = 86_400_000;
/** Also with a short retention. */
export const COLLECT_INTERVAL_MS_MIN = 30_000;
/** The first time after a start, when the clients that were waiting have met the server. */
export const COLLECT_DELAY_MS = 600_000;
/** Objects that are forgotten, or deleted, in one transaction: a few milliseconds. */
export const COLLECT_BATCH_MAX = 1_000;
/**
 * How often the heads are compared with PostgreSQL's cursors: a person does not notice a second.
 */
export const FILES_LOG_POLL_MS = 1_000;
/** How often an idle server asks whether PostgreSQL is still there. */
export const FILES_LOG_CHECK_MS = 30_000;

/**
 * The client remembers the cursor of each of so many latest events, 110 bytes each, in case the
 * server is restored from a backup. Farther back, the common point that it finds may be too old by
 * half the distance.
 */
export const CURSORS_RECENT_MAX = 4_096;

/** Events that one fold of the history takes: a few milliseconds of the server's thread. */
export const HISTORY_SLICE_EVENTS = 50;
/** The history waits so long after a commit, so that it folds several at once and behind them. */
export const HISTORY_DELAY_MS = 100;
/** Of the time, the share in which the history folds while a long log is new to it. */
export const HISTORY_DUTY_SHARE = 0.5;
/** A question folds so many events first: a second or two. Beyond that it is told to wait. */
export const HISTORY_CATCH_UP_EVENTS_MAX = 20_000;
/** Spans that are kept in memory for directories that are looked at, about 200 bytes each. */
export const HISTORY_SPANS_KEPT_MAX = 300_000;
/** A directory with more spans is read from the disk each time. */
export const HISTORY_DIRECTORY_SPANS_MAX = 100_000;
/** One answer with the whole past of a directory: some 2 MB. */
export const SPANS_PER_ANSWER_MAX = 20_000;
/** Entries of a directory, rows of a log, or changes in one answer. */
export const HISTORY_ROWS_PER_PAGE_MAX = 1_000;
/** Changes that one comparison holds in memory, about 300 bytes each. */
export const DIFF_CHANGES_MAX = 500_000;
/** Changes of several comparisons that are kept beside each other. */
export const DIFF_CHANGES_KEPT_MAX = 50_000;
/** Events that one request for the people's log looks at. */
export const LOG_EVENTS_SCANNED_MAX = 20_000;
/** With rows in hand it looks at no more than this, and ends with a batch: some 100 ms. */
export const LOG_EVENTS_FOR_ROWS_MAX = 3_000;
/** Time that one request for a search takes before it answers with what it has. */
export const SEARCH_MS_MAX = 200;
/** Bars of a chart of activity. */
export const ACTIVITY_BUCKETS_MAX = 500;
/** A server's clock that goes back by more than this was wrong before. */
export const CLOCK_BACK_MS_MAX = 3_600_000;
/** Nodes that one plan changes: some 100 MB and some seconds while it is made. */
export const PLAN_STEPS_MAX = 100_000;
/** Steps of a plan in one answer. */
export const PLAN_STEPS_PER_PAGE = 500;
/** Nodes that one request to delete names; each goes with all that is below it. */
export const PLAN_IDS_MAX = 25_000;
/** A plan's request with so many ids. */
export const PLAN_BODY_BYTES_MAX = 1024 * KIB;
/** Entries of a zip: beyond 65,535 its format needs fields that some tools do not read. */
export const ARCHIVE_ENTRIES_MAX = 65_000;
/** Paths and link targets of a zip together: 250 characters for each entry. */
export const ARCHIVE_NAMES_LENGTH_MAX = 16 * MIB;
/** A ticket stands in addresses, and so in logs of proxies: long enough to begin a download. */
export const TICKET_LIFE_MS = 600_000;
/** A sentence on a held change, with a path in it. */
export const HELD_REASON_LENGTH_MAX = 8 * KIB;
/** A request waits so long at most for a device; runtimes close what is idle for a minute. */
export const WAIT_SECONDS_MAX = 25;
/** A device that was not seen for longer is not waited for with the others. */
export const WAIT_SEEN_MS_MAX = 7 * 86_400_000;
/** Events of conflict copies that one request looks at. */
export const CONFLICTS_SCANNED_MAX = 5_000;
/** Share links of one server, all of which a list reads. */
export const LINKS_MAX = 10_000;
/** Ten years: who means for ever says so, and a link that nobody may forget is a folder. */
export const LIFE_MS_MAX = 3_650 * 86_400_000;
/** A link's password keeps out who finds the link; 20 wrong ones a minute are let through. */
export const LINK_PASSWORD_LENGTH_MIN = 8;
export const LINK_PASSWORD_LENGTH_MAX = 256;
/** Passwords that wait to be hashed, one after the other: some seconds. */
export const PASSWORDS_WAITING_MAX = 50;
/** Matching events in one message of a webhook, but for a group that has more. */
export const WEBHOOK_EVENTS_MAX = 100;
/** Events that are read for a message before it is sent with those that match by then. */
export const WEBHOOK_EVENTS_PER_READ = 1_000;
/** A receiver puts the work into a queue and answers; Standard Webhooks recommends 15 to 30 s. */
export const WEBHOOK_ANSWER_MS_MAX = 15_000;
/** A receiver that is away is asked again after this, then after twice as long, and so on. */
export const WEBHOOK_RETRY_MS_MIN = 1_000;
/** Every five minutes tell a receiver early enough that it is back. */
export const WEBHOOK_RETRY_MS_MAX = 300_000;
/** Webhooks that commands add are seen after this, and tries that are due begin. */
export const WEBHOOK_POLL_MS = 1_000;
/** A sentence on why a delivery failed, for a list. */
export const WEBHOOK_TROUBLE_LENGTH_MAX = 200;
/** Connections to the PostgreSQL that holds the metadata; its default allows 100 to all. */
export const METADATA_CONNECTIONS = 8;
/** A statement there takes milliseconds; the count of ten million nodes takes seconds. */
export const METADATA_CALL_MS_MAX = 15_000;
/** A server that shares its metadata reads the heads of all logs this often; it takes some 0.2 ms. */
export const HEADS_READ_INTERVAL_MS = 1_000;
/** Who waits for devices looks this often at what they reported to other servers. */
export const REPORTS_READ_INTERVAL_MS = 1_000;
/** `/readyz` waits so long for PostgreSQL and the bucket, and asks them at most so often. */
export const READY_MS_MAX = 5_000;
export const READY_KEPT_MS = 1_000;
/** A stopping server that shares its data is not ready so long before it takes no more requests. */
export const DRAIN_MS = 3_000;
/** Its streams end over such a time, so that not all readers come to the others at once. */
export const DRAIN_STREAMS_MS = 2_000;
/** Versions of the objects for which the deleted digests are remembered; each deletes one page. */
export const DELETIONS_KEPT_VERSIONS = 1_000;

/** Requests to a bucket at once: enough to fill a line, few enough to be let through. */
export const BUCKET_REQUESTS_MAX = 16;
/** A bucket is read in blocks of this size: some hundred small objects, or a large one. */
export const BUCKET_BLOCK_BYTES = MIB;
/** Blocks of a bucket that stay in memory for whoever reads next: 32 MiB. */
export const BUCKET_BLOCKS_KEPT = 32;
/** Up to this size an object may wait in PostgreSQL, where a small file costs no request. */
export const WAITING_OBJECT_BYTES_MAX = 64 * 1024;
/** An upload with more small objects than this goes to the bucket at once. */
export const WAITING_UPLOAD_BYTES_MAX = MIB;
/** So much waits in PostgreSQL before it is moved to the bucket. */
export const WAITING_BYTES_MAX = 8 * MIB;
/** An upload of 32 MiB takes minutes on a slow line; a server may be stopped for a night. */
export const SEGMENT_UPLOAD_MS_MAX = 86_400_000;
/** So long a bucket keeps what is deleted, so that a database restored to a moment finds it. */
export const SEGMENT_KEPT_MS = 7 * 86_400_000;
