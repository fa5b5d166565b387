/** The data directory: made, locked, refused. */
import { afterAll, expect, test } from "bun:test";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { backUp } from "../../src/adapters/backup.ts";
import { openDataDirectory } from "../../src/adapters/data-directory.ts";
import { ownTlsFiles, readTlsFiles } from "../../src/adapters/tls/files.ts";

const directories: string[] = [];
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true, force: true });
});

function scratch(): string {
  const directory = mkdtempSync(join(tmpdir(), "synced-test-data-"));
  directories.push(directory);
  return join(directory, "data");
}

async function codeOf(open: () => unknown): Promise<string> {
  try {
    await open();
  } catch (error) {
    return (error as { code: string }).code;
  }
  return "opened";
}

/** Every file's name and bytes. */
function contentsOf(path: string): Record<string, string> {
  const names = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isFile());
  return Object.fromEntries(
    names.map(({ name }) => [name, readFileSync(join(path, name)).toString("hex")]),
  );
}

test("a new directory is the owner's alone, and keeps its server id", async () => {
  const path = scratch();
  const first = openDataDirectory(path);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  await first.close();
  const second = openDataDirectory(path);
  expect(second.serverId).toBe(first.serverId);
  expect(second.metadata.serverId).toBe(first.serverId);
  await second.close();
});

test("one that was made beforehand is its owner's, unless something of others is in it [K13]", async () => {
  for (const [name, mode] of [
    [undefined, 0o700],
    ["others", 0o755],
  ] as const) {
    const path = scratch();
    mkdirSync(path, { recursive: true });
    chmodSync(path, 0o755);
    if (name !== undefined) mkdirSync(join(path, name));
    await openDataDirectory(path).close();
    expect(statSync(path).mode & 0o777).toBe(mode);
  }
});

test("one that others may enter, or read a database of, is its owner's again [K13]", async () => {
  const path = scratch();
  await openDataDirectory(path).close();
  chmodSync(path, 0o755);
  const databases = ["metadata.db", "objects.db", "tokens.db"].map((name) => join(path, name));
  for (const database of databases) {
    expect(statSync(database).mode & 0o777).toBe(0o600);
    chmodSync(database, 0o664);
  }
  await openDataDirectory(path).close();
  for (const place of [path, ...databases]) expect(statSync(place).mode & 0o077).toBe(0);
});

test("a second server is refused, in this process and in another", async () => {
  const path = scratch();
  const first = openDataDirectory(path);
  expect(await codeOf(() => openDataDirectory(path))).toBe("data_in_use");
  const module = join(import.meta.dir, "../../src/adapters/data-directory.ts");
  const script =
    `import { openDataDirectory } from ${JSON.stringify(module)};` +
    `try { openDataDirectory(${JSON.stringify(path)}); } catch (e) { console.log(e.code); }`;
  const { stdout } = Bun.spawnSync([process.execPath, "-e", script]);
  expect(stdout.toString()).toBe("data_in_use\n");
  await first.close();
  await openDataDirectory(path).close();
});

test("a newer format is refused and nothing is written [I44]", async () => {
  const path = scratch();
  await openDataDirectory(path).close();
  writeFileSync(join(path, "format"), "synced data 2\n");
  const before = contentsOf(path);
  expect(await codeOf(() => openDataDirectory(path))).toBe("data_newer");
  expect(contentsOf(path)).toEqual(before);
});

test("a newer database is refused and nothing is written in it [I44]", async () => {
  const path = scratch();
  await openDataDirectory(path).close();
  const database = new DatabaseSync(join(path, "metadata.db"));
  database.exec("PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
  database.close();
  const before = contentsOf(path);
  expect(await codeOf(() => openDataDirectory(path))).toBe("data_newer");
  expect(contentsOf(path)).toEqual(before);
});

test("a file in place of the directory, and one that cannot be read, are refused", async () => {
  const path = scratch();
  writeFileSync(path, "a file");
  expect(await codeOf(() => openDataDirectory(path))).toBe("data_not_writable");
  expect(await codeOf(() => openDataDirectory("/proc/synced-test"))).toBe("data_not_writable");
});

test("a database that is not one is damage", async () => {
  const path = scratch();
  await openDataDirectory(path).close();
  writeFileSync(join(path, "metadata.db"), "x".repeat(8192));
  expect(["damage_found", "data_newer"]).toContain(await codeOf(() => openDataDirectory(path)));
  chmodSync(path, 0o700);
});

test("a backup has the server's own key, as its clients know it, for its owner alone [U9, K9, K13]", async () => {
  const [path, target] = [scratch(), scratch()];
  await openDataDirectory(path).close();
  const key = readTlsFiles(ownTlsFiles(path));
  await backUp(path, target);
  expect(readTlsFiles(ownTlsFiles(target))).toEqual(key);
  const others = ["tls-key.pem", "tls-cert.pem", "metadata.db", "tokens.db"].map((name) => {
    return [name, statSync(join(target, name)).mode & 0o077];
  });
  expect(others.filter(([, mode]) => mode !== 0)).toEqual([]);
  // A key that was made anew takes the former one's place, and one that is lost does not take it.
  for (const file of Object.values(ownTlsFiles(path))) rmSync(file);
  await backUp(path, target);
  expect(readTlsFiles(ownTlsFiles(target))).toEqual(key);
  const next = readTlsFiles(ownTlsFiles(path));
  await backUp(path, target);
  expect(readTlsFiles(ownTlsFiles(target))).toEqual(next);
});
