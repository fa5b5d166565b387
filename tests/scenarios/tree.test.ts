/** A tree of everything that a file system can hold arrives as it is, by a first sync. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, mkdirSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { ensureBinary, runSynced } from "./binary.ts";
import { type Device, Lab } from "./lab.ts";
import { differences } from "./snapshot.ts";

const FILE_COUNT = 2_000;
const LARGE_BYTES = 64 * 1024 * 1024;

let lab: Lab;

beforeAll(async () => {
  await ensureBinary();
  lab = await Lab.open();
}, 180_000);
afterAll(() => lab.close());

/** Legal names that have tripped somebody up. */
const NAMES = [
  "x".repeat(255),
  "é".repeat(127),
  "😀".repeat(63),
  "with space",
  " leading and trailing ",
  "new\nline",
  "carriage\rreturn",
  "tab\tulator",
  "bell\u0007",
  "emoji 👩‍👩‍👧",
  "caf\u00e9",
  "cafe\u0301",
  "Case",
  "case",
  "-dash",
  "--",
  "...",
  "..hidden",
  "trailing dot.",
  "back\\slash",
  "quote\"'`",
  "star*question?",
  "$(command) %41 &amp;",
  "percent%2F",
  "con",
  "NUL.txt",
  "colon:stream",
  "right\u202eleft",
  "zero\u200bwidth",
  "\u{10ffff}",
  "synced",
  "name (conflict alpha 2026-01-01 abcdef).txt",
];

function fill(device: Device): void {
  for (let index = 0; index < FILE_COUNT; index += 1) {
    const path = `many/${index % 25}/${index % 100}/file-${index}`;
    const size = [0, 1, 700, 5_000, 40_000][index % 5] ?? 0;
    device.write(path, new Uint8Array(size).fill(index % 251, 1));
    if (index % 37 === 0) chmodSync(device.join(path), 0o755);
    if (index % 41 === 0) chmodSync(device.join(path), 0o444);
  }
  for (const name of NAMES) {
    device.write(`files/${name}`, name);
    mkdirSync(device.join("directories", name), { recursive: true });
  }
  // Deeper than one name is long, as long as a path may be.
  device.write(`${"deep/".repeat(100)}end`, "deep\n");
  mkdirSync(device.join("links"));
  for (const [name, target] of [
    ["dangling", "nowhere"],
    ["absolute", "/etc/hostname"],
    ["upwards", "../../../../../.."],
    ["to itself", "to itself"],
    ["to a directory", "../many"],
    ["odd", "new\nline 😀"],
    ["long", "x/".repeat(2_000)],
  ] as const) {
    symlinkSync(target, device.join("links", name));
  }
  for (const [name, seconds] of [
    ["epoch", 0],
    ["before the epoch", -1_000_000.25],
    ["far away", 4_294_967_296.125],
    ["precise", 1_700_000_000.123_456],
  ] as const) {
    device.write(`times/${name}`, name);
    utimesSync(device.join("times", name), 1, seconds);
  }
  const large = new Uint8Array(LARGE_BYTES);
  for (let at = 0; at < large.length; at += 65_536) {
    crypto.getRandomValues(large.subarray(at, at + 65_536));
  }
  device.write("large.bin", large);
}

test("a tree of everything arrives identical in type, bytes, mode, target and time [I1, I5, N3, N7, N8]", async () => {
  const [alpha, beta] = [lab.device("alpha"), lab.device("beta")];
  fill(alpha);
  const wanted = alpha.snapshot();
  const startMs = performance.now();
  const sent = await alpha.once();
  expect({ exitCode: sent.exitCode, stderr: sent.stderr }).toMatchObject({ exitCode: 0 });
  const sentMs = performance.now();
  const received = await beta.once();
  expect({ exitCode: received.exitCode, stderr: received.stderr }).toMatchObject({ exitCode: 0 });
  const [up, down] = [sentMs - startMs, performance.now() - sentMs].map(Math.round);
  console.log(`${wanted.size} entries with ${LARGE_BYTES} bytes: up ${up} ms, down ${down} ms`);
  expect(differences(wanted, beta.snapshot())).toEqual([]);
  expect(differences(wanted, alpha.snapshot())).toEqual([]);
  for (const index of [0, 41]) {
    const path = `many/${index % 25}/${index % 100}/file-${index}`;
    expect(statSync(beta.join(path)).size).toBe(statSync(alpha.join(path)).size);
  }
  // At rest nothing more is sent, and what came is not taken for news.
  const head = await lab.head();
  for (const device of [beta, alpha]) expect((await device.once()).exitCode).toBe(0);
  expect(await lab.head()).toBe(head);
  const status = await runSynced(["status", beta.path, "--json"]);
  expect(JSON.parse(status.stdout)).toMatchObject({ problems: [], conflicts: [] });
  await lab.verify();
}, 240_000);
