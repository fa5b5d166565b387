/**
 * The exit codes of all commands. A code never changes meaning; README's table is checked against
 * this one.
 */
export const EXIT = {
  done: 0,
  /** A bug in synced, or an error that has no code of its own. */
  failed: 1,
  /** The command line, a name or a token is not valid. */
  usage: 2,
  /** Finished, with conflicts or problems; not in sync; different. */
  problems: 3,
  damage: 4,
  /** A person has to look at it. */
  held: 10,
  unreachable: 11,
  /** Not a synced server, another one than before, or of another protocol. */
  wrongServer: 12,
  unauthorised: 13,
  /** Port, data directory or folder cannot be used. */
  unusable: 14,
  /** EX_TEMPFAIL of sysexits.h: another process already syncs this folder. */
  inUse: 75,
  /** 128 + SIGINT. */
  interrupted: 130,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
