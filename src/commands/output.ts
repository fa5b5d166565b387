/**
 * Where commands speak: people's lines on stderr, machines' lines on stdout.
 */
import { type ConsolaInstance, createConsola, LogLevels } from "consola/core";

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface Output {
  /** Machines: one JSON object a line on stdout; nothing without `--json`. `time` is added. */
  event(name: string, fields?: Readonly<Record<string, unknown>>): void;
  /** People: the ordinary course of things. Silent with `--quiet`. */
  say(text: string): void;
  /** People: only with `--verbose`. */
  detail(text: string): void;
  /** People: something that wants attention. */
  warn(text: string): void;
  /** People: something that failed. */
  error(text: string): void;
}

export function createOutput(options: OutputOptions): Output {
  const people = createPeople(options);
  return {
    event(name, fields = {}) {
      if (!options.json) return;
      const line = { event: name, time: new Date().toISOString(), ...fields };
      process.stdout.write(`${JSON.stringify(line)}\n`);
    },
    say: (text) => people.log(printable(text)),
    detail: (text) => people.debug(printable(text)),
    warn: (text) => people.warn(printable(text)),
    error: (text) => people.error(printable(text)),
  };
}

function createPeople({ quiet, verbose }: OutputOptions): ConsolaInstance {
  return createConsola({
    level: quiet ? LogLevels.warn : verbose ? LogLevels.debug : LogLevels.info,
    // Each line as it is said: a name may hold what looks like markup, and none may be left out.
    reporters: [{ log: ({ args }) => void process.stderr.write(`${args.join(" ")}\n`) }],
    throttle: 0,
  });
}

/**
 * Control characters but the line feed, lone surrogates, line separators, bidirectional controls.
 */
const UNPRINTABLE =
  /(?!\n)[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * Escapes control and bidirectional characters, so that a file's name cannot move the cursor,
 * colour the terminal or reverse what is read. Line feeds between sentences are the caller's own
 * and stay.
 */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escapeCharacter);
}

/** As `printable`, for one name or path: a line feed in it is escaped too. */
export function printableName(name: string): string {
  return printable(name).replaceAll("\n", "\\n");
}

function escapeCharacter(character: string): string {
  const codePoint = character.codePointAt(0) ?? 0;
  const hex = codePoint.toString(16);
  return codePoint <= 0xff ? `\\x${hex.padStart(2, "0")}` : `\\u{${hex}}`;
}
