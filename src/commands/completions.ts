/**
 * `synced completions bash|zsh|fish`: prints a script that completes commands, actions, flags and
 * paths, made of the commands' own definitions. Rules: X10.
 */
import { type ArgsDef, defineCommand, type SubCommandsDef } from "citty";
import { SyncedError } from "../core/error.ts";
import { EXIT } from "../core/exit-code.ts";
import { commonFlags } from "./flags.ts";
import { quoted } from "./progress.ts";

interface Flag {
  /** With its dashes. */
  readonly words: readonly string[];
  readonly description: string;
  /** A word for its value; undefined of a switch. */
  readonly value: string | undefined;
}

interface Described {
  readonly name: string;
  readonly description: string;
  readonly flags: readonly Flag[];
  /** The words that its first argument may be. */
  readonly actions: readonly string[];
}

const SCRIPTS = new Map([
  ["bash", bashScript],
  ["zsh", zshScript],
  ["fish", fishScript],
]);

/** @param commands all of them, which only the entry knows */
export function commandFor(commands: SubCommandsDef) {
  return defineCommand({
    meta: { name: "completions", description: "Print a script that completes commands in a shell" },
    args: {
      shell: { type: "positional", description: "bash, zsh or fish", required: true },
      ...commonFlags,
    },
    async run({ args }) {
      const script = SCRIPTS.get(args.shell);
      if (script === undefined) {
        throw new SyncedError("usage", `Cannot do ${quoted(args.shell)}: use bash, zsh or fish`);
      }
      process.stdout.write(script(await describe(commands)));
      return EXIT.done;
    },
  });
}

async function describe(commands: SubCommandsDef): Promise<readonly Described[]> {
  const described: Described[] = [];
  for (const [name, loader] of Object.entries(commands)) {
    const one = await (typeof loader === "function" ? loader() : loader);
    const meta = await (typeof one.meta === "function" ? one.meta() : one.meta);
    const args = await (typeof one.args === "function" ? one.args() : one.args);
    const description = meta?.description ?? "";
    described.push({
      name,
      description,
      flags: flagsOf(args ?? {}),
      actions: actionsOf(args ?? {}),
    });
  }
  return described;
}

function flagsOf(args: ArgsDef): readonly Flag[] {
  const flags: Flag[] = [];
  for (const [name, arg] of Object.entries(args)) {
    if (arg.type === "positional") continue;
    const alias = "alias" in arg && typeof arg.alias === "string" ? [`-${arg.alias}`] : [];
    // The twin is for the usage, where there is room.
    const description = (arg.description ?? "").replace(/ \[SYNCED_\w+\]$/, "");
    const value = arg.type === "boolean" ? undefined : (arg.valueHint ?? name);
    flags.push({ words: [`--${name}`, ...alias], description, value });
  }
  return flags;
}

/** Described as `list, show or resolve`. */
function actionsOf(args: ArgsDef): readonly string[] {
  const first = Object.values(args).find(({ type }) => type === "positional");
  const text = first?.description ?? "";
  return /^[a-z]+(?:, [a-z]+)*(?: or [a-z]+)?$/.test(text) ? text.split(/, | or /) : [];
}

function bashScript(commands: readonly Described[]): string {
  const cases = commands.map(({ name, flags, actions }) => {
    const all = flags.flatMap(({ words }) => words).join(" ");
    const valued = flags.filter(({ value }) => value !== undefined);
    const values = valued.flatMap(({ words }) => words).join(" ");
    return `    ${name}) flags="${all}" values="${values}" actions="${actions.join(" ")}" ;;`;
  });
  const names = commands.map(({ name }) => name).join(" ");
  return `_synced() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local flags="" values="" actions=""
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W "${names} --help --version" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join("\n")}
  esac
  if [[ " $values " == *" $previous "* ]]; then return; fi
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$flags --help" -- "$current"))
  elif [[ $COMP_CWORD -eq 2 ]]; then
    COMPREPLY=($(compgen -W "$actions" -- "$current"))
  fi
}
complete -o default -F _synced synced
`;
}

function zshScript(commands: readonly Described[]): string {
  const names = commands.map(({ name, description }) => zshWord(`${name}:${description}`));
  const cases = commands.map(({ name, flags, actions }) => {
    const specs = flags.flatMap(({ words, description, value }) => {
      const after = value === undefined ? "" : `:${zshPlain(value)}:_files`;
      return words.map((word) => zshWord(`${word}[${zshPlain(description)}]${after}`));
    });
    const action = actions.length === 0 ? [] : [zshWord(`1:action:(${actions.join(" ")})`)];
    return `    ${name}) _arguments ${[...specs, ...action, zshWord("*:path:_files")].join(" ")} ;;`;
  });
  return `#compdef synced
_synced() {
  local -a commands
  if (( CURRENT == 2 )); then
    commands=(${names.join(" ")})
    _describe command commands
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join("\n")}
  esac
}
if [[ $funcstack[1] == _synced ]]; then _synced "$@"; else compdef _synced synced; fi
`;
}

/** Colons and brackets are zsh's own in a spec. */
function zshPlain(text: string): string {
  return text.replace(/[[\]:\\]/g, "\\$&");
}

function zshWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishScript(commands: readonly Described[]): string {
  const lines = commands.flatMap(({ name, description, flags, actions }) => {
    const here = `complete -c synced -n '__synced_in ${name}'`;
    const first = `complete -c synced -n '__synced_in ${name} first' -f -a`;
    return [
      `complete -c synced -n __synced_alone -f -a ${name} -d ${fishWord(description)}`,
      ...(actions.length === 0 ? [] : [`${first} '${actions.join(" ")}'`]),
      ...flags.map((flag) => `${here} ${fishFlag(flag)}`),
    ];
  });
  return `function __synced_alone
  test (count (commandline -opc)) -eq 1
end
function __synced_in
  set -l words (commandline -opc)
  test (count $words) -gt 1; and test $words[2] = $argv[1]; or return 1
  test (count $argv) -eq 1; or test (count $words) -eq 2
end
${lines.join("\n")}
`;
}

function fishFlag({ words, description, value }: Flag): string {
  const names = words.map((word) =>
    word.startsWith("--") ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`,
  );
  return `${names.join(" ")}${value === undefined ? "" : " -r"} -d ${fishWord(description)}`;
}

function fishWord(text: string): string {
  return `'${text.replace(/[\\']/g, "\\$&")}'`;
}
