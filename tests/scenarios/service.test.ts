/** `synced service`: the file that it writes, judged by systemd itself where that is installed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { launchdAgent, systemdUnit } from "../../src/commands/service-unit.ts";
import { ERROR_KINDS } from "../../src/core/error.ts";
import { BINARY, ensureBinary, runSynced, Scratch } from "./binary.ts";

const scratch = new Scratch();
const FOLDER = scratch.join('my "notes" 100% $HOME');
const env = { XDG_CONFIG_HOME: scratch.join("config") };

beforeAll(async () => {
  await ensureBinary();
  mkdirSync(FOLDER);
});
afterAll(() => scratch.remove());

function service(...args: string[]) {
  return runSynced(["service", ...args], { env, cwd: scratch.path });
}

/** @returns what systemd finds wrong */
function wrongIn(unit: string, isUser: boolean): string {
  const path = scratch.join(`synced-verified-${isUser}.service`);
  writeFileSync(path, unit);
  const words = ["systemd-analyze", ...(isUser ? ["--user"] : []), "verify", "--man=no", path];
  const { stderr, exitCode } = Bun.spawnSync(words, {
    env: { ...process.env, XDG_RUNTIME_DIR: scratch.path },
  });
  const lines = stderr.toString().split("\n");
  return `${exitCode} ${lines.filter((line) => line.includes("synced-verified")).join("\n")}`;
}

const isLinux = process.platform === "linux";
const hasSystemd = isLinux && Bun.which("systemd-analyze") !== null;

describe.skipIf(!isLinux)("service", () => {
  test("install writes a unit of the user, says what is next, and remove takes it away [X11]", async () => {
    const words = ["--", "sync", FOLDER, "--server", "http://127.0.0.1:8080", "--once"];
    const shown = await service("install", "--print", ...words);
    expect(shown.exitCode).toBe(0);
    expect(existsSync(env.XDG_CONFIG_HOME)).toBe(false);
    const installed = await service("install", "--json", ...words);
    const { file } = JSON.parse(installed.stdout) as { file: string };
    expect(file).toStartWith(`${env.XDG_CONFIG_HOME}/systemd/user/synced-my_notes_100_HOME-`);
    const unit = readFileSync(file, "utf8");
    expect(unit).toBe(shown.stdout);
    expect(unit).toContain(`ExecStart=${BINARY} sync "`);
    expect(unit).toContain(String.raw`my \"notes\" 100%% $$HOME"`);
    expect((await service("install", ...words)).stderr).toContain("systemctl --user enable --now");
    expect((await service("remove", "--", "sync", FOLDER)).exitCode).toBe(0);
    expect(existsSync(file)).toBe(false);
    expect((await service("remove", "--", "sync", FOLDER)).exitCode).toBe(5);
  });

  test("leaves a file alone that it did not write [X11]", async () => {
    const file = `${env.XDG_CONFIG_HOME}/systemd/user/synced-server.service`;
    mkdirSync(`${env.XDG_CONFIG_HOME}/systemd/user`, { recursive: true });
    writeFileSync(file, "[Unit]\n");
    for (const action of ["install", "remove"])
      expect((await service(action, "serve")).exitCode).toBe(2);
    expect(readFileSync(file, "utf8")).toBe("[Unit]\n");
  });

  test.each([
    [["install"]],
    [["install", "status"]],
    [["install", "--system", "sync", "x"]],
    [["install", "--", "sync", "x", "--no-such-flag"]],
    [["install", "--", "serve", "extra"]],
    [["start", "serve"]],
  ])("refuses %p [X11]", async (args) => {
    expect((await service(...args)).exitCode).toBe(2);
  });

  test.skipIf(!hasSystemd)("systemd finds nothing wrong in a unit [X11]", async () => {
    const user = await service("install", "--print", "--", "sync", FOLDER);
    expect(wrongIn(user.stdout, true)).toBe("0 ");
    const system = await service("install", "--print", "--system", "serve");
    expect(system.stdout).toContain("ProtectSystem=strict");
    expect(wrongIn(system.stdout, false)).toBe("0 ");
  });
});

test("an argument that no file can hold is refused, and one for launchd is escaped [X11]", () => {
  const base = { kind: "sync", name: "synced-a", description: "sync", directory: "/" } as const;
  expect(() => systemdUnit({ ...base, command: ["a\nExecStartPre=b"] })).toThrow("Cannot write");
  const agent = launchdAgent({ ...base, command: ["/bin/synced", "<&>100%"] }, "/tmp/log");
  expect(agent).toContain("<string>&lt;&amp;&gt;100%</string>");
});

test("it is not started again after what no time mends, such as a deleted folder [X11, U6]", () => {
  const { exitCode: gone } = ERROR_KINDS.folder_gone;
  const readme = readFileSync(join(import.meta.dir, "../../README.md"), "utf8");
  const told = [...readme.matchAll(/RestartPreventExitStatus=([\d ]+\d)/g)].map(
    ([, codes]) => codes,
  );
  const written = (["serve", "sync"] as const).map((kind) => {
    const unit = systemdUnit({ kind, name: "a", description: "a", command: ["a"], directory: "/" });
    return /^RestartPreventExitStatus=(.*)$/m.exec(unit)?.[1];
  });
  expect(written).toEqual(told);
  for (const codes of written) expect(codes?.split(" ")).toContain(String(gone));
});
