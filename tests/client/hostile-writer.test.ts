/**
 * The same on a real disk: another process appends to a file, and saves it atomically, as fast as
 * it can, while new versions are swapped in. Every line that it wrote is somewhere at the end.
 * Rules: I2, I3, I4, D2, D3, D6.
 */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type OpenedFolder, openFolder } from "../../src/adapters/open-folder.ts";
import { systemClock } from "../../src/adapters/runtime/clock.ts";
import { systemRandom } from "../../src/adapters/runtime/random.ts";
import { openStateStore } from "../../src/adapters/state/store.ts";
import { applyTransitions } from "../../src/client/apply/apply-plan.ts";
import { checkQuarantine } from "../../src/client/apply/quarantine.ts";
import type { ClientPorts } from "../../src/client/folder/ports.ts";
import { Scanner } from "../../src/client/scan/scanner.ts";
import { sha256 } from "../../src/core/digest.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { FileContent } from "../../src/core/node.ts";
import { reconcile } from "../../src/core/reconcile.ts";
import { PROFILE } from "./scan-world.ts";

const scratch = mkdtempSync(join(tmpdir(), "synced-test-hostile-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/**
 * Appends numbered lines to `f`; every 1,000th line is a save: the file gets another name, and a
 * new one takes its place. It overwrites nothing itself (a link, not a rename: where the old file
 * is put back between two calls, a rename would destroy it), so a missing line is ours.
 */
const WRITER = `
const fs = require("node:fs");
const path = process.argv[1];
let line = 0;
process.on("SIGTERM", () => {
  fs.writeFileSync(path + "/../count", String(line));
  process.exit(0);
});
function work() {
  for (let step = 0; step < 4; step += 1) {
    if (line % 1000 === 999) {
      const temporary = path + "/.saving";
      fs.writeFileSync(temporary, "line " + line + "\\n");
      for (let attempt = 0; ; attempt += 1) {
        try { fs.renameSync(path + "/f", path + "/kept-" + line + "-" + attempt); } catch {}
        try { fs.linkSync(temporary, path + "/f"); break; } catch {}
      }
      fs.unlinkSync(temporary);
    } else {
      fs.appendFileSync(path + "/f", "line " + line + "\\n");
    }
    line += 1;
  }
  setTimeout(work, 0);
}
work();
`;

const signal = new AbortController().signal;

class Device {
  readonly store = openStateStore(":memory:");
  readonly contents = new Map<string, Uint8Array>();
  readonly ports: ClientPorts;
  readonly scanner: Scanner;
  readonly node = "1".repeat(32) as NodeId;
  seq = 0;

  constructor(folder: OpenedFolder, exchange: boolean) {
    const fs = new Proxy(folder.fs, {
      get: (target, key) => {
        if (key === "capabilities") return { ...target.capabilities, exchange };
        if (key === "exchange" && !exchange) return () => "unsupported";
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const contents = this.contents;
    const api = {
      async *fetchObjects(digests: readonly string[]) {
        for (const digest of digests) yield { depth: 0, digest, bytes: contents.get(digest) };
      },
    };
    const clock = systemClock;
    const random = systemRandom;
    const observer = { emit: () => {} };
    const { store } = this;
    this.ports = { fs, store, api, clock, random, observer } as unknown as ClientPorts;
    this.scanner = new Scanner(this.ports, PROFILE);
  }

  /** Another version comes from the server. */
  news(text: string): void {
    const bytes = new TextEncoder().encode(text);
    const digest = sha256(bytes);
    this.contents.set(digest, bytes);
    const mtimeNs = "1600000000000000000";
    const named = { manifest: digest, depth: 0, sha256: digest, size: bytes.length };
    const content: FileContent = { kind: "file", ...named, executable: false, mtimeNs };
    this.seq += 1;
    const versions = { contentVersion: this.seq, placeVersion: 1, deleted: false };
    const node = this.store.local.child(ROOT_ID, "f")?.id ?? this.node;
    this.store.putRemote({ id: node, parent: ROOT_ID, name: "f", content, ...versions });
  }

  async turn(): Promise<void> {
    const { store } = this;
    await this.scanner.scan({ kind: "full" }, signal);
    const plan = reconcile({
      base: store.base,
      local: store.local,
      remote: store.remote,
      remoteRow: (id) => store.remoteRow(id),
      dirty: store.dirty(),
      ignores: () => false,
      device: "laptop",
    });
    store.adopt(plan.adoptions);
    for (const id of plan.settled) store.settle(id);
    for (const id of plan.agreed) store.agree(id);
    await applyTransitions(this.ports, plan.transitions, { deviceName: "laptop" }, signal);
  }
}

for (const exchange of [true, false]) {
  const how = exchange ? "exchange" : "renames";
  test(`a hostile writer loses no line while its file is replaced by ${how} [I3, D2, D6]`, async () => {
    const root = join(scratch, how, "folder");
    mkdirSync(root, { recursive: true });
    writeFileSync(join(root, "f"), "");
    const folder = openFolder(root);
    const device = new Device(folder, exchange);
    const writer = Bun.spawn([process.execPath, "-e", WRITER, root], { stderr: "inherit" });
    const began = performance.now();
    let turns = 0;
    const elapsed = () => performance.now() - began;
    const isHit = () => turns > 3 && device.store.conflicts().length > 1;
    while (elapsed() < 2_500 || (!isHit() && elapsed() < 90_000)) {
      device.news(`version ${turns} of the server\n`);
      await device.turn();
      turns += 1;
    }
    writer.kill("SIGTERM");
    await writer.exited;
    for (const entry of device.store.quarantine()) {
      device.store.putQuarantine({ ...entry, sinceMs: 0, scans: 2 });
    }
    await checkQuarantine(device.ports, { deviceName: "laptop" });
    const lines = new Set<string>();
    let copies = 0;
    for (const name of readdirSync(root)) {
      if (name === ".synced") continue;
      copies += 1;
      for (const line of readFileSync(join(root, name), "utf8").split("\n")) lines.add(line);
    }
    const count = Number(readFileSync(join(root, "..", "count"), "utf8"));
    const missing = Array.from({ length: count }, (_, line) => `line ${line}`).filter(
      (line) => !lines.has(line),
    );
    folder.fs.close();
    expect(missing).toEqual([]);
    expect(count).toBeGreaterThan(0);
    expect(turns).toBeGreaterThan(3);
    expect(copies).toBeGreaterThan(1);
    expect(device.store.conflicts().length).toBeGreaterThan(1);
    if (process.env["SYNCED_TEST_TIMES"] !== undefined) console.log({ how, count, turns, copies });
  }, 180_000);
}
