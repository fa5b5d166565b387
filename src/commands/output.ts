/**
 * The output of commands: lines for people on stderr, lines for programs, and results, on stdout.
 */
import { styleText } from "node:util";
import { type ConsolaInstance, createConsola, LogLevels } from "consola/core";
import { printable, printableJson } from "../core/printable.ts";

export interface OutputOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

export interface Output {
  /** True if stdout is for programs. */
  readonly isJson: boolean;
  /** For programs: one JSON object a line on stdout; nothing without `--json`. Adds `time`. */
  event(name: string, fields?: Readonly<Record<string, unknown>>): void;
  /**
   * One result of a question, on stdout whatever the flags say: the line for people, with `--json`
   * the object alone for programs. With the field `gone` a terminal shows the line grey.
   */
  result(fields: Readonly<Record<string, unknown>>, line: string): void;
  /** For people: the ordinary course of things. Silent with `--quiet`. */
  say(text: string): void;
  /** For people: only with `--verbose`. */
  detail(text: string): void;
  /** For people: something that needs attention. */
  warn(text: string): void;
  /** For people: something that failed. */
  error(text: string): void;
}

export function createOutput(options: OutputOptions): Output {
  const people = createPeople(options);
  return {
    isJson: options.json,
    event(name, fields = {}) {
      if (!options.json) return;
      const line = { event: name, time: new Date().toISOString(), ...fields };
      process.stdout.write(`${printableJson(line)}\n`);
    },
    result(fields, line) {
      const shown = fields["gone"] === true ? grey(printable(line)) : printable(line);
      process.stdout.write(`${options.json ? printableJson(fields) : shown}\n`);
    },
    say: (text) => people.log(printable(text)),
    detail: (text) => people.debug(printable(text)),
    warn: (text) => people.warn(printable(text)),
    error: (text) => people.error(printable(text)),
  };
}

function grey(text: string): string {
  const isPlain = !process.stdout.isTTY || (process.env["NO_COLOR"] ?? "") !== "";
  return isPlain ? text : styleText("dim", text);
}

/**
 * Waits until stdout has taken what was written. @returns false if nobody reads it any more, as
 * behind `| head`.
 */
export async function isRead(bytes: Uint8Array = new Uint8Array()): Promise<boolean> {
  const { stdout } = process;
  return await new Promise((resolve) => {
    const fail = () => resolve(false);
    stdout.once("error", fail);
    stdout.write(bytes, (error) => {
      stdout.off("error", fail);
      resolve(error == null && stdout.writable);
    });
  });
}

function createPeople({ quiet, verbose }: OutputOptions): ConsolaInstance {
  return createConsola({
    level: quiet ? LogLevels.warn : verbose ? LogLevels.debug : LogLevels.info,
    // Prints each line as it is: a name may hold what looks like markup, and no line may be left
    // out.
    reporters: [{ log: ({ args }) => void process.stderr.write(`${args.join(" ")}\n`) }],
    throttle: 0,
  });
}
