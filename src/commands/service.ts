/**
 * `synced service install|remove`: has systemd or launchd run a server or a client from now on. It
 * writes or removes one file, and says what to do next. Rules: X11.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, userInfo } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { defineCommand } from "citty";
import { reasonOf } from "../adapters/disk/system-error.ts";
import { sha256 } from "../core/digest.ts";
import { SyncedError } from "../core/error.ts";
import { EXIT, type ExitCode } from "../core/exit-code.ts";
import { checkArguments, commonFlags, switchFlag } from "./flags.ts";
import { createOutput, type Output } from "./output.ts";
import { quoted } from "./progress.ts";
import { command as serve } from "./serve.ts";
import { launchdAgent, SERVICE_MARK, type Service, systemdUnit } from "./service-unit.ts";
import { command as sync } from "./sync.ts";

const SYSTEM_DATA = "/var/lib/synced";
const SYSTEM_USER = "synced";

export const command = defineCommand({
  meta: { name: "service", description: "Have the system run a server or a client all the time" },
  args: {
    action: { type: "positional", description: "install or remove", required: true },
    command: {
      type: "positional",
      description: "serve or sync FOLDER; with flags of its own after --",
      valueHint: "-- COMMAND...",
      required: true,
    },
    system: switchFlag("system", "serve: for the machine and not for you alone (systemd, as root)"),
    print: switchFlag("print", "install: only print the file"),
    ...commonFlags,
  },
  async run({ args }) {
    const output = createOutput(args);
    const { action, system: isSystem } = args;
    if (action !== "install" && action !== "remove") {
      throw new SyncedError("usage", `Cannot do ${quoted(action)}: use install or remove`);
    }
    const manager = managerFor(isSystem);
    const service = await serviceOf(args._.slice(1), isSystem);
    const file = manager.file(service.name);
    if (action === "remove") return remove(manager, { name: service.name, file }, output);
    const text = manager.text(service);
    if (args.print) {
      output.result({ file, text }, text.trimEnd());
      output.say(`It would go to ${file}`);
      return EXIT.done;
    }
    requireOwn(file);
    write(file, text);
    output.event("service_installed", { name: service.name, file });
    output.say(`Wrote ${file}. Start it, now and from then on:`);
    for (const line of manager.start(service.name)) output.say(`  ${line}`);
    return EXIT.done;
  },
});

interface Manager {
  file(name: string): string;
  text(service: Service): string;
  /** For a person, line by line. */
  start(name: string): readonly string[];
  /** Ends what runs. */
  stop(name: string): readonly string[];
}

function managerFor(isSystem: boolean): Manager {
  if (process.platform === "darwin" && !isSystem) return LAUNCHD;
  if (process.platform !== "linux") {
    throw new SyncedError("usage", `Cannot make a service on ${process.platform}`);
  }
  const directory = isSystem
    ? "/etc/systemd/system"
    : join(process.env["XDG_CONFIG_HOME"] ?? join(homedir(), ".config"), "systemd", "user");
  const systemctl = isSystem ? ["sudo", "systemctl"] : ["systemctl", "--user"];
  const line = (...words: string[]) => [...systemctl, ...words].join(" ");
  return {
    file: (name) => join(directory, `${name}.service`),
    text: systemdUnit,
    start: (name) => [
      ...(isSystem ? [`sudo useradd --system ${SYSTEM_USER}   # unless there is one`] : []),
      ...(isSystem ? [`sudo install -d -o ${SYSTEM_USER} -m 700 ${SYSTEM_DATA}`] : []),
      line("daemon-reload"),
      line("enable", "--now", `${name}.service`),
      ...(isSystem ? [] : ["loginctl enable-linger   # to go on after you sign out"]),
    ],
    stop: (name) => [
      "systemctl",
      ...(isSystem ? [] : ["--user"]),
      "disable",
      "--now",
      `${name}.service`,
    ],
  };
}

const LAUNCHD: Manager = {
  file: (name) => join(homedir(), "Library", "LaunchAgents", `${name}.plist`),
  text: (service) =>
    launchdAgent(service, join(homedir(), "Library", "Logs", `${service.name}.log`)),
  start: (name) => [`launchctl bootstrap gui/${userInfo().uid} ${LAUNCHD.file(name)}`],
  stop: (name) => ["launchctl", "bootout", `gui/${userInfo().uid}/${name}`],
};

/** @throws {SyncedError} `usage` if synced itself would refuse the command line */
async function serviceOf(words: readonly string[], isSystem: boolean): Promise<Service> {
  const [kind, ...rest] = words;
  if (kind !== "serve" && kind !== "sync") {
    throw new SyncedError("usage", "Say what shall run: serve, or sync FOLDER");
  }
  const found = kind === "serve" ? serve : sync;
  const definitions = await (typeof found.args === "function" ? found.args() : found.args);
  const [folder = "."] = checkArguments(definitions ?? {}, rest);
  const program = ownProgram();
  if (kind === "sync") {
    if (isSystem) {
      throw new SyncedError("usage", "Leave out --system: a folder is synced by whose it is");
    }
    const path = resolve(folder);
    const label = basename(path).replace(/[^A-Za-z0-9_.]+/g, "_");
    const name = `synced-${label}-${sha256(path).slice(0, 6)}`;
    return {
      kind,
      name,
      description: `sync of ${path}`,
      command: [...program, kind, ...rest.map((word) => (word === folder ? path : word))],
      directory: process.cwd(),
    };
  }
  const named = /^--data(?:=|$)/;
  const hasData = rest.some((word) => named.test(word));
  const names = { kind, name: "synced-server", description: "server" } as const;
  const base = { ...names, directory: process.cwd() };
  if (!isSystem) return { ...base, command: [...program, kind, ...rest] };
  if (hasData) {
    throw new SyncedError("usage", `Leave out --data: a system's server has ${SYSTEM_DATA}`);
  }
  return {
    ...base,
    command: [...program, kind, "--data", SYSTEM_DATA, ...rest],
    system: { user: SYSTEM_USER, data: SYSTEM_DATA },
  };
}

/** The binary, or a runtime with this program's source. */
function ownProgram(): readonly string[] {
  const [, script = ""] = process.argv;
  const isBinary = script.startsWith("/$bunfs/") || script === "";
  if (isBinary) return [process.execPath];
  return "Deno" in globalThis
    ? [process.execPath, "run", "-A", script]
    : [process.execPath, script];
}

/** @throws {SyncedError} `usage` for a file that somebody else wrote */
function requireOwn(file: string): void {
  if (!existsSync(file) || readFileSync(file, "utf8").slice(0, 200).includes(SERVICE_MARK)) return;
  throw new SyncedError("usage", `Cannot touch ${file}: synced did not write it; move it away`);
}

function write(file: string, text: string): void {
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } catch (cause) {
    const next = "; see it with --print";
    throw new SyncedError("usage", `Cannot write ${file}: ${reasonOf(cause)}${next}`, { cause });
  }
}

function remove(
  manager: Manager,
  { name, file }: { readonly name: string; readonly file: string },
  output: Output,
): ExitCode {
  if (!existsSync(file)) {
    throw new SyncedError("not_found", `There is no ${file}: name what was installed`);
  }
  requireOwn(file);
  const [program = "", ...args] = manager.stop(name);
  const ended = spawnSync(program, args, { stdio: "ignore" });
  rmSync(file);
  output.event("service_removed", { name, file });
  output.say(`Removed ${file}`);
  if (ended.status !== 0) {
    output.warn(`It could not be stopped: ${[program, ...args].join(" ")}`);
  }
  return EXIT.done;
}
