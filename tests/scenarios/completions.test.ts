/** `synced completions` with the built binary, in the shells that this machine has. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { ensureBinary, runSynced, Scratch } from "./binary.ts";

const scratch = new Scratch();

beforeAll(ensureBinary);
afterAll(() => scratch.remove());

async function script(shell: string): Promise<string> {
  const { exitCode, stdout } = await runSynced(["completions", shell]);
  expect(exitCode).toBe(0);
  const path = scratch.join(shell);
  writeFileSync(path, stdout);
  return path;
}

function runIn(shell: string, code: string): string[] {
  const { stdout, stderr } = Bun.spawnSync([shell, ...(shell === "zsh" ? ["-f"] : []), "-c", code]);
  expect(stderr.toString()).toBe("");
  return stdout.toString().trim().split("\n");
}

test.skipIf(Bun.which("bash") === null)(
  "bash completes commands, actions and flags [X10]",
  async () => {
    const path = await script("bash");
    const complete = (...words: string[]) => {
      const set = `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")})`;
      const ask = `COMP_CWORD=${words.length - 1}; _synced; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return runIn("bash", `. ${path}; ${set}; ${ask}`);
    };
    expect(complete("synced", "hi")).toEqual(["history"]);
    expect(complete("synced", "conflicts", "")).toEqual(["list", "show", "resolve"]);
    expect(complete("synced", "log", "--si")).toEqual(["--since"]);
    expect(complete("synced", "log", "--since", "")).toEqual([""]);
  },
);

test.skipIf(Bun.which("zsh") === null)("zsh gets commands, actions and flags [X10]", async () => {
  const path = await script("zsh");
  const stubs = `compdef() { }; _arguments() { print -l -- "$@" }; _describe() { print -l -- \${(P)2} }`;
  const complete = (current: number, words: string) =>
    runIn("zsh", `${stubs}; . ${path}; words=(${words}); CURRENT=${current}; _synced`);
  expect(complete(2, "synced ''")).toContain("log:Say who did what in a folder, newest first");
  const log = complete(3, "synced log ''");
  expect(log).toContain("--follow[Oldest first, and go on with what happens]");
  expect(log.find((spec) => spec.startsWith("--since["))).toEndWith("]:MOMENT:_files");
  expect(complete(3, "synced conflicts ''")).toContain("1:action:(list show resolve)");
});

test.skipIf(Bun.which("fish") === null)(
  "fish completes commands, actions and flags [X10]",
  async () => {
    const path = await script("fish");
    const complete = (line: string) =>
      runIn("fish", `source ${path}; complete -C '${line}'`).map((one) => one.split("\t")[0]);
    expect(complete("synced hi")).toEqual(["history"]);
    expect(complete("synced conflicts ")).toEqual(["list", "resolve", "show"]);
    expect(complete("synced log --fo")).toEqual(["--folder", "--follow"]);
  },
);

test("another shell is refused [X10]", async () => {
  expect((await runSynced(["completions", "tcsh"])).exitCode).toBe(2);
});
