/** What a person asks of a folder's past on the command line, with the built binary. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { BINARY, ensureBinary, runSynced } from "./binary.ts";
import { Lab } from "./lab.ts";

const EVIL = "evil\u001b[31m\u202egnp\nname.txt";

let lab: Lab;
let root = "";
/** The head after each act, by the act's name. */
const heads: Record<string, number> = {};

/** Two devices tell a story in one folder, and no client runs afterwards. */
beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
  const [laptop, phone] = [lab.device("LAPTOP"), lab.device("PHONE")];
  const acts: readonly (readonly [string, typeof laptop, () => void])[] = [
    [
      "made",
      laptop,
      () => {
        laptop.write("drafts/plan.md", "one\n");
        laptop.write("drafts/bytes", new Uint8Array([0, 1, 2]));
        laptop.write(EVIL, "x");
        symlinkSync("plan.md", laptop.join("drafts", "link"));
      },
    ],
    ["edited", phone, () => phone.write("drafts/plan.md", "one\ntwo\n")],
    ["renamed", laptop, () => renameSync(laptop.join("drafts"), laptop.join("notes"))],
    ["moved", phone, () => renameSync(phone.join("notes/plan.md"), phone.join("plan.txt"))],
    ["deleted", laptop, () => rmSync(laptop.join("notes/bytes"))],
  ];
  for (const device of [laptop, phone]) await device.once();
  for (const [name, device, act] of acts) {
    await device.once();
    act();
    await device.once();
    heads[name] = await lab.head();
  }
  root = laptop.path;
}, 180_000);

afterAll(async () => {
  await lab.close();
});

async function ask(...args: string[]) {
  return await runSynced(args, { cwd: root });
}

async function rows(...args: string[]): Promise<Record<string, unknown>[]> {
  const { exitCode, stdout, stderr } = await ask(...args, "--json");
  expect({ exitCode, stderr: exitCode === 0 ? "" : stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

describe("log", () => {
  test("says who did what, newest first, also of what is gone [E5, X1]", async () => {
    const log = await rows("log");
    expect(log.slice(0, 3)).toEqual([
      expect.objectContaining({ action: "delete", path: "notes/bytes", deviceName: "LAPTOP" }),
      expect.objectContaining({ action: "rename", path: "plan.txt", from: "notes/plan.md" }),
      expect.objectContaining({ action: "rename", path: "notes", from: "drafts" }),
    ]);
    const gone = await ask("log", "notes/bytes");
    expect(gone.stdout).toContain("LAPTOP");
    expect(gone.stdout).toContain("delete");
  });

  test("shows one device, one action, and what came after a moment [E5]", async () => {
    const phone = await rows("log", "--device", "phone");
    expect(phone.map(({ action }) => action)).toEqual(["rename", "update"]);
    const deletions = await rows("log", "--action", "delete", "--since", "1h");
    expect(deletions).toHaveLength(1);
    const later = await rows("log", "--since", String(heads["renamed"]));
    expect(later.map(({ action }) => action)).toEqual(["delete", "rename"]);
    const until = await rows("log", "--until", String(heads["edited"]), "--limit", "1");
    expect(until).toEqual([expect.objectContaining({ action: "update", deviceName: "PHONE" })]);
  });

  test("writes a table for a spreadsheet [X3]", async () => {
    const { stdout } = await ask("log", "--csv", "--action", "upload");
    const [header, ...lines] = stdout.split("\r\n");
    expect(header).toStartWith("seq,lastSeq,time,device");
    expect(lines.length).toBeGreaterThan(1);
    const evil = await ask("log", EVIL, "--csv");
    expect(evil.stdout).toContain(",evil\\x1b[31m\\u{202e}gnp\\nname.txt,");
  });

  test("writes JSON without a character that does not show [X3]", async () => {
    const { stdout } = await ask("log", EVIL, "--json");
    expect(stdout).toContain("evil\\u001b[31m\\u202egnp\\nname.txt");
    expect(JSON.parse(stdout)).toMatchObject({ path: EVIL });
  });
});

describe("ls", () => {
  test("lists a directory as it is and as it was [E3]", async () => {
    expect((await ask("ls", "notes")).stdout).toBe("link -> plan.md\n");
    const then = await ask("ls", "drafts", "--at", String(heads["edited"]));
    expect(then.stdout).toBe("bytes\nlink -> plan.md\nplan.md\n");
    expect(then.stderr).toStartWith(`As of event ${heads["edited"]} (`);
    const [entry] = await rows("ls", "plan.txt");
    expect(entry).toMatchObject({ path: "plan.txt", size: 8, last: { deviceName: "PHONE" } });
  });

  test("names what was deleted there, and who did it [E3]", async () => {
    const { stdout } = await ask("ls", "--recursive", "--deleted");
    expect(stdout).toContain(`notes/bytes  (deleted by LAPTOP, event ${heads["deleted"]})\n`);
  });

  test("shows characters that do not show, and no line break of a name [X3]", async () => {
    const shown = "evil\\x1b[31m\\u{202e}gnp\\nname.txt";
    for (const command of [
      ["ls"],
      ["ls", "-l"],
      ["log", "--limit", "99"],
      ["blame"],
      ["diff", "1"],
    ]) {
      const { stdout, stderr } = await ask(...command);
      const hidden = /(?!\n)[\p{Cc}\u202e]/u;
      expect([command, hidden.test(stdout + stderr)]).toEqual([command, false]);
    }
    expect((await ask("ls")).stdout).toContain(`${shown}\n`);
    expect((await rows("ls")).map(({ path }) => path)).toContain(EVIL);
  });
});

describe("cat, history and blame", () => {
  test("follow a file through its own renames and its directory's [H14]", async () => {
    const history = await rows("history", "plan.txt");
    expect(history.map(({ action, path }) => [action, path])).toEqual([
      ["rename", "plan.txt"],
      ["update", "drafts/plan.md"],
      ["upload", "drafts/plan.md"],
    ]);
    const [blame] = await rows("blame");
    expect(blame).toMatchObject({ path: "plan.txt", last: { deviceName: "PHONE" } });
  });

  test("print exactly the bytes of then [C5, H7]", async () => {
    expect((await ask("cat", "plan.txt")).stdout).toBe("one\ntwo\n");
    const old = await ask("cat", "drafts/plan.md", "--at", String(heads["made"]));
    expect(old.stdout).toBe("one\n");
    expect(old.stderr).toStartWith("As of event ");
    const bytes = await ask("cat", "notes/bytes", "--at", String(heads["moved"]));
    expect(bytes.stdout).toBe("\u0000\u0001\u0002");
  });

  test("say where a file that is gone was last, and exit 5 [X3]", async () => {
    const gone = await ask("cat", "notes/bytes");
    expect(gone.exitCode).toBe(5);
    expect(gone.stderr).toContain(`LAPTOP took it away in event ${heads["deleted"]}`);
  });
});

describe("diff", () => {
  test("says what differs between two moments, and how much [E4]", async () => {
    const [from, to] = [String(heads["edited"]), String(heads["moved"])];
    const { stdout, stderr } = await ask("diff", from, to);
    expect(stdout).toContain("R  drafts -> notes/ (");
    expect(stdout).toContain("R  drafts/plan.md -> plan.txt");
    expect(stderr).toContain("0 added, 0 modified, 2 moved, 0 removed");
    const [stat] = await rows("diff", from, to, "--stat");
    expect(stat).toMatchObject({ from: Number(from), to: Number(to), added: 0, moved: 2 });
    expect((await ask("diff", to, to, "--exit-code")).exitCode).toBe(0);
    expect((await ask("diff", from, "--exit-code")).exitCode).toBe(3);
  });

  test("shows the lines of text files, and of others only that they differ [E4]", async () => {
    const made = String(heads["made"]);
    const { stdout } = await ask("diff", made, "plan.txt", "--text");
    expect(stdout).toContain("@@ -1,1 +1,2 @@\n one\n+two\n");
    const binary = await ask("diff", made, "drafts/bytes", "--text");
    expect(binary.stdout).toContain("Binary files a/drafts/bytes and b/drafts/bytes differ");
  });
});

describe("which folder, and when", () => {
  test("a path below the folder is found upwards, a server by its flags [X1]", async () => {
    const below = await runSynced(["ls", "."], { cwd: `${root}/notes` });
    expect(below.stdout).toBe("link -> plan.md\n");
    const remote = await runSynced(["ls", "notes", "--server", lab.url], { cwd: "/" });
    expect(remote.stdout).toBe("link -> plan.md\n");
    const elsewhere = lab.scratch.join("elsewhere");
    mkdirSync(elsewhere);
    const nowhere = await runSynced(["ls"], { cwd: elsewhere });
    expect(nowhere.exitCode).toBe(2);
    expect(nowhere.stderr).toContain("--server URL --folder NAME");
  });

  test("a server that is another one gets no token [X1, G5]", async () => {
    const copy = lab.scratch.join("copy");
    mkdirSync(`${copy}/.synced`, { recursive: true });
    const marker = JSON.parse(await Bun.file(`${root}/.synced/marker.json`).text());
    const stranger = { ...marker, server: "f".repeat(32) };
    writeFileSync(`${copy}/.synced/marker.json`, JSON.stringify(stranger));
    const answer = await runSynced(["log"], { cwd: copy });
    expect(answer.exitCode).toBe(12);
    expect(answer.stderr).toContain("another server");
  });

  test.each([
    ["no such path", ["ls", "nosuch"], "nothing is there"],
    ["no such path ever", ["history", "nosuch"], "nothing was ever at"],
    ["an event to come", ["ls", "--at", "99999"], "There is no event 99999 yet"],
    ["a moment before the folder", ["ls", "--at", "3d"], "was not there yet"],
    ["no such device", ["log", "--device", "NAS"], 'these are "LAPTOP"'],
  ])("%s is exit 5 and told [X3]", async (_what, args, words) => {
    const { exitCode, stdout, stderr } = await ask(...args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 5, stdout: "" });
    expect(stderr).toContain(words);
  });

  test("words that are no moment are a wrong command line [X2]", async () => {
    const { exitCode, stderr } = await ask("ls", "--at", "whenever");
    expect(exitCode).toBe(2);
    expect(stderr).toContain('"yesterday 18:00"');
  });
});

// The last one, because it adds to the log.
test("log --follow ends with the next change when nobody reads it any more [X3]", async () => {
  // A shell waits for all of its pipe, so it is not asked to end before that change.
  const follow = `{ "${BINARY}" log --follow --since 0; echo "ended $?" >&2; }`;
  const leave = "{ head -n 1; exec <&-; echo gone; }";
  const shell = Bun.spawn(["sh", "-c", `${follow} | ${leave}`], {
    cwd: root,
    stdout: "pipe",
    stderr: "pipe",
  });
  let said = "";
  const decoder = new TextDecoder();
  for await (const bytes of shell.stdout) {
    said += decoder.decode(bytes, { stream: true });
    if (said.endsWith("gone\n")) break;
  }
  expect(said).toContain("LAPTOP");
  writeFileSync(`${root}/late.txt`, "late");
  expect((await runSynced(["sync", root, "--once"])).exitCode).toBe(0);
  expect(await new Response(shell.stderr).text()).toEndWith("ended 0\n");
});
