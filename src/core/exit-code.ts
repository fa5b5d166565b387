/**
 * The exit codes of all commands. A code never changes its meaning. A test compares README's table
 * with this one.
 */
export const EXIT = {
  done: 0,
  /** A bug in synced, or an error that has no code of its own. */
  failed: 1,
  /** The command line, a name or a token is not valid. */
  usage: 2,
  /**
   * The command finished with conflicts or problems, or found the folder not in sync or different.
   */
  problems: 3,
  damage: 4,
  /** There is no such path, version, device or moment. */
  absent: 5,
  /** A person has to look at a held change or a halted folder. */
  held: 10,
  unreachable: 11,
  /** Not a synced server, another server than before, or another protocol. */
  wrongServer: 12,
  unauthorised: 13,
  /** The port, the data directory or the folder cannot be used. */
  unusable: 14,
  /** EX_TEMPFAIL of sysexits.h: another process already syncs this folder. */
  inUse: 75,
  /** 128 + SIGINT. */
  interrupted: 130,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
