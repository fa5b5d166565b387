#!/usr/bin/env bun
/**
 * The binary's entry: names the subcommands, imports the one that the user asks for, and maps
 * errors to exit codes.
 *
 * `--version` imports nothing more, so that it answers at once.
 */
import { stripVTControlCharacters } from "node:util";
import type { ArgsDef, CommandDef, SubCommandsDef } from "citty";
import packageJson from "./package.json" with { type: "json" };
import { beginWithRoomyAllocator } from "./src/commands/allocator.ts";
import { EXIT } from "./src/core/exit-code.ts";

const COMMANDS: SubCommandsDef = {
  serve: async () => {
    beginWithRoomyAllocator();
    return (await import("./src/commands/serve.ts")).command;
  },
  sync: async () => {
    beginWithRoomyAllocator();
    return (await import("./src/commands/sync.ts")).command;
  },
  status: async () => (await import("./src/commands/status.ts")).command,
  check: async () => (await import("./src/commands/check.ts")).command,
  approve: async () => (await import("./src/commands/approve.ts")).command,
  reject: async () => (await import("./src/commands/reject.ts")).command,
  pause: async () => (await import("./src/commands/pause.ts")).pauseCommand,
  resume: async () => (await import("./src/commands/pause.ts")).resumeCommand,
  log: async () => (await import("./src/commands/log.ts")).command,
  ls: async () => (await import("./src/commands/ls.ts")).command,
  cat: async () => (await import("./src/commands/cat.ts")).command,
  get: async () => (await import("./src/commands/get.ts")).command,
  wait: async () => (await import("./src/commands/wait.ts")).command,
  devices: async () => (await import("./src/commands/devices.ts")).command,
  conflicts: async () => (await import("./src/commands/conflicts.ts")).command,
  ignore: async () => (await import("./src/commands/ignore.ts")).command,
  restore: async () => (await import("./src/commands/restore.ts")).command,
  undo: async () => (await import("./src/commands/undo.ts")).command,
  history: async () => (await import("./src/commands/history.ts")).command,
  blame: async () => (await import("./src/commands/blame.ts")).command,
  diff: async () => (await import("./src/commands/diff.ts")).command,
  link: async () => (await import("./src/commands/link.ts")).command,
  invite: async () => (await import("./src/commands/invite.ts")).command,
  token: async () => (await import("./src/commands/token.ts")).command,
  webhook: async () => (await import("./src/commands/webhook.ts")).command,
  folder: async () => (await import("./src/commands/folder.ts")).command,
  backup: async () => (await import("./src/commands/backup.ts")).command,
  export: async () => (await import("./src/commands/export.ts")).command,
  migrate: async () => (await import("./src/commands/migrate.ts")).command,
  verify: async () => (await import("./src/commands/verify.ts")).command,
  gc: async () => (await import("./src/commands/gc.ts")).command,
  healthcheck: async () => (await import("./src/commands/healthcheck.ts")).command,
  service: async () => (await import("./src/commands/service.ts")).command,
  completions: async () => (await import("./src/commands/completions.ts")).commandFor(COMMANDS),
  demo: async () => (await import("./src/commands/demo.ts")).command,
};

/**
 * The commands that people type first, shown below the flags of each command; "" is synced itself.
 */
const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  "": [
    "synced demo                                      # see it work: two folders in sync",
    "synced serve                                     # a server on this machine",
    "synced sync ./folder --server http://127.0.0.1:8080",
  ],
  serve: [
    "synced serve                                     # this machine only, data in ./storage",
    "synced serve --host 0.0.0.0                      # other machines too: https, with a token",
    "synced serve --host 0.0.0.0 --tls-cert fullchain.pem --tls-key privkey.pem",
    "synced serve --mirror ./plain                    # a plain copy of each folder beside it",
  ],
  sync: [
    "synced sync ~/notes --server https://SERVER:8080 --fingerprint sha256:... --token-file token",
    "synced sync ~/notes --token-file token           # from then on: the server is remembered",
    "synced sync ~/photos --server https://SERVER:8080 --folder photos --token-file token",
    "synced sync ~/notes --dry-run                    # what would be done?",
    "synced sync ~/notes --once                       # end when in sync, for scripts",
  ],
  status: ["synced status ~/notes", "synced status ~/notes --json"],
  check: ["synced check ~/notes", "synced check ~/notes --read-data"],
  approve: [
    "synced status ~/notes                            # what is held?",
    "synced approve ~/notes",
  ],
  reject: [
    "synced status ~/notes                            # what is held?",
    "synced reject ~/notes                            # what the server has comes back",
  ],
  pause: [
    "synced pause ~/notes --for 2h                    # goes on by itself",
    "synced pause ~/notes --device NAS                # the folder's copy on the NAS",
  ],
  resume: ["synced resume ~/notes", "synced resume ~/notes --device NAS"],
  log: [
    "synced log                                       # what happened here last?",
    "synced log notes --since yesterday               # and who did it?",
    "synced log --device NAS --action delete --since 2h",
    "synced log --follow                              # as it happens",
  ],
  ls: [
    "synced ls photos --at friday -l                  # as it was at the end of Friday",
    "synced ls --deleted                              # with what was deleted, and by whom",
    "synced ls --server http://SERVER:8080 --folder photos",
  ],
  cat: ['synced cat notes/plan.md --at "yesterday 18:00" > old.md'],
  get: ["synced get photos ~/photos-friday --at friday"],
  wait: [
    "synced wait . && make                            # with all that others saved before",
    "synced wait --all --timeout 10m                  # until every device has it",
  ],
  devices: [
    "synced devices                                   # who has everything, and who does not?",
  ],
  conflicts: [
    "synced conflicts list",
    "synced conflicts show report.txt                 # both sides, and what differs",
    "synced conflicts resolve report.txt --keep theirs",
  ],
  ignore: ["synced ignore test build/app.o                   # by which line of which file?"],
  completions: [
    "synced completions bash > ~/.local/share/bash-completion/completions/synced",
    "synced completions fish > ~/.config/fish/completions/synced.fish",
  ],
  restore: [
    'synced restore photos --at "yesterday 18:00"     # shows what it would do, and asks',
    "synced restore notes/plan.md --at 811 --yes",
  ],
  undo: [
    "synced undo --device NAS --since 2h              # shows what it would do, and asks",
    "synced undo --last                               # take back the last restore or undo",
  ],
  history: ["synced history notes/plan.md                     # across renames"],
  blame: ["synced blame notes"],
  diff: [
    'synced diff "yesterday 18:00"                    # what changed since then?',
    "synced diff 1000 1179 notes --text | less",
  ],
  link: [
    "synced link create photos/2019                   # as it is now, for seven days",
    "synced link create report.txt --follow-changes --expires 30d --password-file word",
    "synced link list",
  ],
  invite: [
    "synced invite                                    # one more device, all folders; good for 15 minutes",
    "synced invite --folder photos --access read --expires 1d",
  ],
  token: [
    "synced token create --label LAPTOP > token       # all folders, read and write",
    "synced token create --folder photos --access read --expires 30d",
    "synced token list                                # with the devices that use them",
    "synced token revoke 1f3a9c0b2d4e5f60",
  ],
  webhook: [
    "synced webhook add https://ci.example/hook --on 'any:src/**'",
    "synced webhook list                              # who takes it, and who does not?",
    "synced webhook test 1f3a9c0b2d4e5f60",
  ],
  folder: [
    "synced folder list                               # with their sizes",
    "synced folder rename photos pictures",
    "synced folder delete photos --yes                # with all its history",
  ],
  backup: ["synced backup /mnt/backup --data ./storage     # again: copies what is new"],
  export: [
    "synced export ./old --folder photos --at 2026-11-28T09:00Z",
    "synced export ./old --at 1234                   # as of event 1234",
  ],
  migrate: [
    "synced migrate --data ./storage --metadata-url-file url --bucket-url s3://HOST/BUCKET",
    "synced migrate --back --data ./storage --metadata-url-file url --bucket-url s3://HOST/BUCKET",
  ],
  verify: ["synced verify --data ./storage"],
  gc: ["synced gc --data ./storage --dry-run", "synced gc --data ./storage"],
  healthcheck: ["synced healthcheck --url http://127.0.0.1:8080"],
  service: [
    "synced service install sync ~/notes              # from now on, after each start",
    "synced service install --print -- sync ~/notes --token-file ~/token",
    "synced service install --system -- serve --host 0.0.0.0",
  ],
  demo: ["synced demo", "synced demo ./somewhere --once"],
};

const ROOT: CommandDef = {
  meta: {
    name: "synced",
    version: packageJson.version,
    description: "Keeps folders on several machines identical through one server",
  },
  subCommands: COMMANDS,
};

/** @returns the exit code. */
async function main(rawArgs: string[]): Promise<number> {
  const [name, ...rest] = rawArgs;
  if (name === "--version") {
    process.stdout.write(`${packageJson.version}\n`);
    return EXIT.done;
  }
  if (name === "--help" || name === "-h") {
    process.stdout.write((await usage(ROOT)) + examples(""));
    return EXIT.done;
  }
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
    return await refuse(
      ROOT,
      name === undefined ? "No command given" : `Unknown command "${name}"`,
    );
  }
  const loader = COMMANDS[name];
  const command = await (typeof loader === "function" ? loader() : loader);
  if (command === undefined) throw new Error(`Command "${name}" has no loader`);
  const flagsEnd = rest.indexOf("--");
  const flags = flagsEnd === -1 ? rest : rest.slice(0, flagsEnd);
  if (flags.includes("--help") || flags.includes("-h")) {
    process.stdout.write((await usage(command, ROOT)) + examples(name));
    return EXIT.done;
  }
  return await runStrictly(name, command, rest);
}

async function runStrictly(name: string, command: CommandDef, rest: string[]): Promise<number> {
  const { SyncedError } = await import("./src/core/error.ts");
  const { checkArguments, environmentArguments } = await import("./src/commands/flags.ts");
  const args = await (typeof command.args === "function" ? command.args() : command.args);
  const definitions: ArgsDef = args ?? {};
  const twins = environmentArguments(definitions, process.env);
  try {
    checkArguments(definitions, rest);
  } catch (error) {
    if (!(error instanceof SyncedError)) throw error;
    return await refuse(command, error.message, ROOT);
  }
  const { runCommand } = await import("citty");
  const { result } = await runCommand(command, { rawArgs: [...twins, ...rest] });
  if (typeof result !== "number") throw new Error(`Command "${name}" returned no exit code`);
  return result;
}

/** Says what is wrong below the usage, because a person looks there when the command ends. */
async function refuse(command: CommandDef, message: string, parent?: CommandDef): Promise<number> {
  process.stderr.write(`${await usage(command, parent)}\n${message}\n`);
  return EXIT.usage;
}

async function usage(command: CommandDef, parent?: CommandDef): Promise<string> {
  const { renderUsage } = await import("citty");
  const text = stripVTControlCharacters(await renderUsage(command, parent));
  // Removes "(Default: false)", because every switch is off by default. On each line it would hide
  // the defaults that matter.
  return `${text.replaceAll(" (Default: false)", "").replace(/ +$/gm, "")}\n`;
}

function examples(name: string): string {
  const lines = EXAMPLES[name] ?? [];
  return `${name === "" ? "\n" : ""}EXAMPLES\n\n${lines.map((line) => `  ${line}\n`).join("")}`;
}

/** Reports an error. @returns its exit code. */
async function report(error: unknown): Promise<number> {
  const { SyncedError } = await import("./src/core/error.ts");
  const { printable, printableJson } = await import("./src/core/printable.ts");
  const isExpected = error instanceof SyncedError;
  if (process.argv.includes("--json") || ["1", "true"].includes(process.env["SYNCED_JSON"] ?? "")) {
    const code = isExpected ? error.code : "internal";
    const message = error instanceof Error ? error.message : String(error);
    const line = { event: "error", time: new Date().toISOString(), code, message };
    process.stdout.write(`${printableJson(line)}\n`);
  }
  if (isExpected) {
    process.stderr.write(`${printable(error.message)}\n`);
    return error.kind.exitCode;
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`This is a bug in synced ${packageJson.version}:\n${printable(stack)}\n`);
  return EXIT.failed;
}

/** A closed pipe, as behind `| head`, must not stop syncing. The output is dropped. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

/** Ends the process when a pipe has taken all output, even if handles are still open. */
function exit(code: number): void {
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
}

process.stdout.on("error", ignoreClosedPipe);
process.stderr.on("error", ignoreClosedPipe);
exit(await main(process.argv.slice(2)).catch(report));
