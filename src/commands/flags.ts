/**
 * Shared by all subcommands: flags with their environment twins, the check of the command line, and
 * the token.
 *
 * A command is a citty `defineCommand` exported as `command`, whose `run` returns the exit code.
 * `textFlag` and `switchFlag` make its flags. `cli.ts` puts the twins' values in front of the
 * command line, so a flag wins over its twin.
 */
import { existsSync, readFileSync, realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import type { ArgsDef } from "citty";
import type { ServerOptions } from "../../server.ts";
import { reasonOf } from "../adapters/disk/system-error.ts";
import type { Trust } from "../adapters/network/fetch-transport.ts";
import { SyncedError } from "../core/error.ts";
import { type Fingerprint, parseFingerprint } from "../core/fingerprint.ts";
import { type FolderName, parseFolderName } from "../core/identifier.ts";
import { printableName } from "../core/printable.ts";
import { TOKEN_FILE } from "../core/state-directory.ts";
import { parseToken } from "../protocol/token.ts";

const DECIMAL = /^(0|[1-9][0-9]{0,15})$/;

/** @returns `SYNCED_TOKEN_FILE` for `token-file`. */
export function environmentTwin(flag: string): string {
  return `SYNCED_${flag.replaceAll("-", "_").toUpperCase()}`;
}

/** A flag with a value. For a default write `{ ...textFlag(...), default: "x" }`. */
export function textFlag(name: string, valueHint: string, description: string) {
  return {
    type: "string",
    valueHint,
    description: `${description} [${environmentTwin(name)}]`,
  } as const;
}

export function switchFlag(name: string, description: string) {
  return {
    type: "boolean",
    default: false,
    description: `${description} [${environmentTwin(name)}]`,
  } as const;
}

/** The flags of every command. */
export const commonFlags = {
  json: switchFlag("json", "Machine-readable output on stdout, one JSON object a line"),
  quiet: switchFlag("quiet", "Say only what is wrong"),
  verbose: switchFlag("verbose", "Say everything"),
} as const;

export const tokenFlag = {
  "token-file": textFlag("token-file", "FILE", "File that holds the token; or set SYNCED_TOKEN"),
} as const;

export const fingerprintFlag = {
  fingerprint: textFlag(
    "fingerprint",
    "sha256:...",
    "The server's key, as it prints it; remembered",
  ),
} as const;

/**
 * By what an https server is known: by the key that a flag names, else by the remembered one, else
 * by authorities.
 *
 * @throws {SyncedError} `usage`
 */
export function readTrust(
  flag: string | undefined,
  remembered: Fingerprint | undefined,
): Exclude<Trust, { readonly kind: "anybody" }> {
  const fingerprint = flag === undefined ? remembered : parseFingerprint(flag);
  return fingerprint === undefined ? { kind: "authorities" } : { kind: "key", fingerprint };
}

/**
 * The twins that are set, as command line arguments. An empty value counts as not set.
 *
 * @throws {SyncedError} `usage` if a switch's twin is not 1, true, 0 or false.
 */
export function environmentArguments(
  args: ArgsDef,
  environment: Readonly<Record<string, string | undefined>>,
): string[] {
  const found: string[] = [];
  for (const [name, arg] of Object.entries(args)) {
    const twin = environmentTwin(name);
    const value = environment[twin];
    if (arg.type === "positional" || value === undefined || value === "") continue;
    if (arg.type !== "boolean") {
      found.push(`--${name}=${value}`);
    } else if (value === "1" || value === "true") {
      found.push(`--${name}`);
    } else if (value !== "0" && value !== "false") {
      throw new SyncedError("usage", `Cannot use ${twin}="${value}": expected 1, true, 0 or false`);
    }
  }
  return found;
}

/**
 * Refuses what citty would let pass: unknown flags, flags without a value or with an empty one, and
 * too many or too few arguments. An argument whose hint ends in dots may come more than once.
 *
 * @returns what stands there beside flags and their values
 * @throws {SyncedError} `usage`
 */
export function checkArguments(args: ArgsDef, rawArgs: readonly string[]): readonly string[] {
  const options: Record<string, OptionType> = {};
  let required = 0;
  let allowed = 0;
  for (const [name, arg] of Object.entries(args)) {
    if (arg.type === "positional") {
      allowed = arg.valueHint?.endsWith("...") === true ? Number.MAX_SAFE_INTEGER : allowed + 1;
      if (arg.required !== false && arg.default === undefined) required += 1;
    } else {
      const alias = "alias" in arg ? arg.alias : undefined;
      const short = typeof alias === "string" ? { short: alias } : {};
      options[name] = { type: arg.type === "boolean" ? "boolean" : "string", ...short };
    }
  }
  const { positionals, values } = parseStrictly(options, rawArgs);
  if (positionals.length > allowed) {
    throw new SyncedError("usage", `Unexpected argument "${positionals[allowed]}"`);
  }
  if (positionals.length < required) {
    const names = Object.entries(args).filter(([, arg]) => arg.type === "positional");
    throw new SyncedError(
      "usage",
      `Missing argument ${names[positionals.length]?.[0].toUpperCase()}`,
    );
  }
  if (positionals.includes("")) throw new SyncedError("usage", "An argument is empty");
  // Mostly the value is an unset variable of a script. A default in its place would be a guess.
  const empty = Object.keys(values).find((name) => values[name] === "");
  if (empty !== undefined) throw new SyncedError("usage", `Cannot use --${empty} "": it is empty`);
  return positionals;
}

interface OptionType {
  type: "boolean" | "string";
  /** One letter. */
  short?: string;
}

function parseStrictly(
  options: Record<string, OptionType>,
  rawArgs: readonly string[],
): {
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
} {
  try {
    return parseArgs({ args: [...rawArgs], options, allowPositionals: true });
  } catch (error) {
    // node:util appends advice on "--" after the first sentence. The usage that follows is enough.
    const message = error instanceof Error ? error.message : String(error);
    throw new SyncedError("usage", message.split(/\.\s/, 1)[0] ?? message);
  }
}

/**
 * Reads a whole number from a flag's text.
 *
 * @throws {SyncedError} `usage` unless it is a decimal in [min, max].
 */
export function parseNumberFlag(
  name: string,
  value: string,
  bounds: { readonly min: number; readonly max: number },
): number {
  const number = Number(value);
  if (!DECIMAL.test(value) || number < bounds.min || number > bounds.max) {
    throw new SyncedError(
      "usage",
      `Cannot use --${name} "${value}": expected a whole number from ${bounds.min} to ${bounds.max}`,
    );
  }
  return number;
}

export function parsePortFlag(name: string, value: string): number {
  return parseNumberFlag(name, value, { min: 0, max: 65_535 });
}

const DURATION = /^([1-9][0-9]{0,4})([mhd])$/;
const UNIT_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a time span such as 10m, 12h or 30d.
 *
 * @returns milliseconds
 * @throws {SyncedError} `usage`
 */
export function parseDurationFlag(name: string, value: string): number {
  const [, number = "", unit = ""] = DURATION.exec(value) ?? [];
  const unitMs = UNIT_MS[unit];
  if (unitMs !== undefined) return Number(number) * unitMs;
  throw new SyncedError(
    "usage",
    `Cannot use --${name} "${value}": expected a number of minutes, hours or days: 10m, 12h, 30d`,
  );
}

const SIZE = /^([1-9][0-9]{0,12})(|B|KiB|MiB|GiB|TiB)$/;
const UNIT_BYTES: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  TiB: 1024 ** 4,
};

/** Reads `1000000` or `10GiB`. @returns bytes @throws {SyncedError} `usage` */
export function parseSizeFlag(name: string, value: string): number {
  const [, number = "", unit = ""] = SIZE.exec(value) ?? [];
  const bytes = Number(number) * (UNIT_BYTES[unit] ?? 0);
  if (number !== "" && Number.isSafeInteger(bytes)) return bytes;
  throw new SyncedError(
    "usage",
    `Cannot use --${name} "${value}": expected a number of bytes, or one with a unit: 500MiB, 10GiB`,
  );
}

/**
 * Reads `90d`, or `90d,photos=30d,archive=forever`: one time span for all folders, others by name.
 *
 * @throws {SyncedError} `usage`, `invalid_folder_name`
 */
export function parseKeepFlag(value: string): NonNullable<ServerOptions["retention"]> {
  const { all, byFolder } = parseByFolder(value, (span) =>
    span === "forever" ? undefined : parseDurationFlag("keep", span),
  );
  return { keepMs: all, byFolder };
}

/**
 * Reads `100GiB`, or `100GiB,photos=1TiB,archive=none`: one size for all folders, others by name.
 *
 * @throws {SyncedError} `usage`, `invalid_folder_name`
 */
export function parseQuotaFlag(value: string): NonNullable<ServerOptions["quota"]> {
  const { all, byFolder } = parseByFolder(value, (size) =>
    size === "none" ? undefined : parseSizeFlag("quota", size),
  );
  return { bytesMax: all, byFolder };
}

function parseByFolder(value: string, read: (text: string) => number | undefined) {
  const byFolder = new Map<FolderName, number | undefined>();
  let all: number | undefined;
  for (const part of value.split(",")) {
    const [name, text] = part.includes("=") ? part.split("=", 2) : [undefined, part];
    const number = read(text ?? "");
    if (name === undefined) all = number;
    else byFolder.set(parseFolderName(name), number);
  }
  return { all, byFolder };
}

/** Reads a time span that may be 0. @returns milliseconds @throws {SyncedError} `usage` */
export function parseAgeFlag(name: string, value: string): number {
  return value === "0" ? 0 : parseDurationFlag(name, value);
}

/**
 * Reads the token from `--token-file`, else from SYNCED_TOKEN. It is never read from the command
 * line, because every user of the machine could read it there.
 *
 * @returns undefined if neither is set.
 * @throws {SyncedError} `usage` if the file cannot be read; `invalid_token` if it is empty or
 * malformed, because an empty secret must never count as "no token wanted".
 */
export function readToken(
  tokenFile: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | undefined {
  if (tokenFile !== undefined) return parseToken(readTokenFile(tokenFile), `"${tokenFile}"`);
  const token = environment["SYNCED_TOKEN"];
  return token === undefined ? undefined : parseToken(token, "SYNCED_TOKEN");
}

/**
 * The file with a client's token: the one that a flag names, else the one of the folder's own
 * state, which it got for an invitation.
 *
 * @returns undefined if there is none, or if the environment has a token
 */
export function clientTokenFile(
  flag: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
  folderPath: string,
): string | undefined {
  if (flag !== undefined || environment["SYNCED_TOKEN"] !== undefined) return flag;
  const own = join(folderPath, TOKEN_FILE);
  return existsSync(own) ? own : undefined;
}

/**
 * Does the same for a client, which takes a new token from the file while it runs.
 *
 * @throws {SyncedError} as `readToken` does
 */
export function tokenSource(
  tokenFile: string | undefined,
  environment: Readonly<Record<string, string | undefined>>,
): string | (() => string) | undefined {
  if (tokenFile === undefined) return readToken(tokenFile, environment);
  const read = () => parseToken(readTokenFile(tokenFile), `"${tokenFile}"`);
  let token = read();
  return () => {
    try {
      token = read();
    } catch (error) {
      // While the file is replaced, the former token is as good as it was.
      if (!(error instanceof SyncedError)) throw error;
    }
    return token;
  };
}

function readTokenFile(path: string): string {
  try {
    const text = readFileSync(path, "utf8");
    warnIfOpen(path);
    return text;
  } catch (cause) {
    const message = `Cannot read the token file "${path}": ${reasonOf(cause)}`;
    throw new SyncedError("usage", message, { cause });
  }
}

/** Where containers get their secrets: no other user of the machine sees that directory. */
const CONTAINER_SECRETS = "/run/secrets/";
/** A client reads its token file again and again; once is enough to be told. */
const warned = new Set<string>();

function warnIfOpen(path: string): void {
  const isContainersOwn = path.startsWith(CONTAINER_SECRETS);
  if (isContainersOwn || warned.has(path) || !isReadableByAll(realpathSync(path))) return;
  warned.add(path);
  const name = printableName(path);
  process.stderr.write(
    `Every user of this machine can read the token file "${name}": chmod 600 "${name}"\n`,
  );
}

/** Windows has other rights, of which these bits tell nothing. */
function isReadableByAll(path: string): boolean {
  if (process.platform === "win32" || (statSync(path).mode & 0o004) === 0) return false;
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    if ((statSync(directory).mode & 0o001) === 0) return false;
    if (directory === dirname(directory)) return true;
  }
}
