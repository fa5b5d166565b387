/**
 * The state directory inside a folder, and the names in it. Rules: S1, N5. It is never synced, not
 * even if it stands in a subdirectory of the folder.
 */

export const STATE_DIRECTORY = ".synced";
/** Every path in the state directory begins with this; the directory itself does not. */
export const STATE_PREFIX = `${STATE_DIRECTORY}/`;

/** Verified contents wait here until they are put in place. */
export const STAGING_DIRECTORY = ".synced/staging";
/** Displaced files wait here until nobody can still be writing to them. */
export const QUARANTINE_DIRECTORY = ".synced/quarantine";
/** Whole subtrees wait here while a directory and one of its descendants trade places. */
export const PARKING_DIRECTORY = ".synced/parking";
/** Remembers where entries of these three stood: see client/apply/former-names.ts. */
export const NAMES_DIRECTORY = ".synced/names";

export const STATE_DATABASE = ".synced/state.db";
export const MARKER_FILE = ".synced/marker.json";
export const LOCK_FILE = ".synced/lock";
/** Ignore rules for this device alone. */
export const DEVICE_IGNORE_FILE = ".synced/ignore";
/**
 * `synced approve` writes it: the id of the held change that a person approved. `synced reject`
 * writes the word `reject` before it.
 */
export const APPROVAL_FILE = ".synced/approved";
/** While it is there, the folder is paused. */
export const PAUSE_FILE = ".synced/paused";
/** The token that this device got for an invitation. */
export const TOKEN_FILE = ".synced/token";
