/**
 * The state directory inside a folder, and what is in it. Rules: S1, N5. Never synced, one in a
 * directory of the folder neither.
 */

export const STATE_DIRECTORY = ".synced";
/** True of paths in it, the directory itself left out. */
export const STATE_PREFIX = `${STATE_DIRECTORY}/`;

/** Verified contents wait here to be put in place. */
export const STAGING_DIRECTORY = ".synced/staging";
/** Displaced files wait here until nobody can still write to them. */
export const QUARANTINE_DIRECTORY = ".synced/quarantine";
/** Whole subtrees set aside while a directory and its own descendant trade places. */
export const PARKING_DIRECTORY = ".synced/parking";
/** Where entries of these three stood: see client/apply/former-names.ts. */
export const NAMES_DIRECTORY = ".synced/names";

export const STATE_DATABASE = ".synced/state.db";
export const MARKER_FILE = ".synced/marker.json";
export const LOCK_FILE = ".synced/lock";
/** Rules of this device alone. */
export const DEVICE_IGNORE_FILE = ".synced/ignore";
/** Written by `synced approve`: the id of the held change that a person lets through. */
export const APPROVAL_FILE = ".synced/approved";
