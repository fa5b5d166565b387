/**
 * The disk fails the first, second, third ... call that an apply makes, once and for good, with
 * each error that it can give, until the apply runs clean. Nothing is lost meanwhile; healed, the
 * folder is as if nothing had happened. Method: SQLite's loops over failing I/O calls. Rules: D7,
 * D8, I3, I14, I41.
 */
import { describe, expect, test } from "bun:test";
import { FileSystemError, type FileSystemErrorCode } from "../../src/ports/filesystem.ts";
import { override } from "../sim/sim-override.ts";
import { SCENARIOS, type Scenario } from "./apply-scenarios.ts";
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";

const COPY = "f (conflict laptop 2026-01-01 1e92c6)";
const ERRORS: readonly FileSystemErrorCode[] = ["io", "full", "denied", "exhausted"];
/** What takes nothing from a disk does not fail for want of room. */
const READS = new Set(["stat", "list", "open", "readLink", "reader.read", "reader.stat"]);

interface Trial {
  readonly scenario: Scenario;
  readonly exchange: boolean;
  readonly code: FileSystemErrorCode;
  readonly lasts: boolean;
}

/** @returns false where the apply makes fewer calls: it ran clean. */
async function failAt(call: number, { scenario, exchange, code, lasts }: Trial): Promise<boolean> {
  const world = await scenario.make(exchange);
  let count = 0;
  let failed = "";
  const isTurn = (): boolean => {
    count += 1;
    return lasts ? count >= call : count === call;
  };
  let isStateBroken = false;
  world.onTransaction = () => {
    if (!isTurn()) return;
    failed ||= "transaction";
    isStateBroken = true;
    throw new FileSystemError(code, "state.db", "Cannot write");
  };
  world.onCall = (name, path) => {
    if (!isTurn() || path === "" || (code === "full" && READS.has(name))) return undefined;
    failed ||= `${name} ${path}`;
    return code;
  };
  await attempt(world);
  const where = `${scenario.name}, ${code} at call ${call}: ${failed}`;
  expectKept(world, scenario, where);
  if (failed === "") return count >= call;

  // The next try of the same process, which a broken state ends, then the next process.
  world.onCall = () => undefined;
  world.onTransaction = () => {};
  if (!isStateBroken) await attempt(world);
  world.crash();
  await world.recover();
  await world.converge();
  await world.emptyQuarantine();
  expect({ where, files: world.files() }).toEqual({ where, files: { ...scenario.outcome } });
  const left = ["staging", "quarantine", "parking"].flatMap((name) => world.entries(name));
  expect({ where, left, journal: world.store.journal() }).toEqual({ where, left: [], journal: [] });
  return true;
}

/** A disk that fails ends an apply, or is a problem of one path; nothing else may come of it. */
async function attempt(world: ApplyWorld): Promise<void> {
  try {
    await world.apply();
  } catch (error) {
    if (!(error instanceof FileSystemError)) throw error;
  }
}

/** Bytes that only this device has are somewhere on its disk at every moment. */
function expectKept(world: ApplyWorld, { onlyHere }: Scenario, where: string): void {
  const texts = new Set<string>();
  for (const [, inode] of world.disk.walk()) {
    if (inode.kind === "file") texts.add(new TextDecoder().decode(inode.bytes));
  }
  for (const text of onlyHere)
    expect({ where, text, kept: texts.has(text) }).toMatchObject({ kept: true });
}

for (const exchange of [true, false]) {
  for (const scenario of SCENARIOS) {
    describe(`${scenario.name} ${exchange ? "with" : "without"} exchange`, () => {
      for (const lasts of [false, true]) {
        test(`whatever call fails ${lasts ? "for good" : "once"}, with any error [D8, I3, I41]`, async () => {
          for (const code of ERRORS) {
            let call = 1;
            while (await failAt(call, { scenario, exchange, code, lasts })) call += 1;
            expect(call).toBeGreaterThan(5);
          }
        }, 60_000);
      }
    });
  }
}

for (const isBlind of [false, true]) {
  test(`an exchange that fails when it is done loses nothing${isBlind ? ", nor where nobody can look" : ""} [D10, D8, I3]`, async () => {
    const world = await syncedWorld(true, "f");
    world.remoteWrite("f", "remote");
    const { fs } = world;
    const fail = (path: string): never => {
      throw new FileSystemError("io", path, "Cannot exchange");
    };
    let isDone = false;
    world.fs = override(fs, {
      exchange: (from, to) => {
        world.write("f", "just saved");
        fs.exchange(from, to);
        isDone = true;
        return fail(to);
      },
      stat: (path) =>
        isDone && isBlind && path.startsWith(".synced") ? fail(path) : fs.stat(path),
    });
    await attempt(world);
    world.crash();
    await world.recover();
    await world.converge();
    expect(world.files()).toEqual({ f: "remote", [COPY]: "just saved" });
    expect([world.entries("staging"), world.store.journal()]).toEqual([[], []]);
  });
}

for (const exchange of [true, false]) {
  const how = exchange ? "with" : "without";
  test(`a file that is moved and replaced ${how} exchange is still itself after a failed barrier [D2, D7]`, async () => {
    for (let failing = 1; ; failing += 1) {
      const world = await syncedWorld(exchange, "f", "d/");
      const before = world.inode("f");
      if (before.kind === "file") world.disk.setMetadata(before, { executable: true }, "durable");
      world.write("f", "text of f");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      const { id } = world.remote("f");
      world.remoteMove("f", "d/f");
      world.remoteWrite("d/f", "remote");
      let count = 0;
      world.onCall = (name) => {
        if (name === "syncDirectories") count += 1;
        return name === "syncDirectories" && count === failing ? "exhausted" : undefined;
      };
      await attempt(world);
      world.onCall = () => undefined;
      await world.recover();
      // The new place is looked at first, and planned on.
      await world.settle("d");
      await world.apply();
      await world.converge();
      const inode = world.inode("d/f");
      const executable = inode.kind === "file" && inode.executable;
      const [files, node] = [world.files(), world.node("d/f").id];
      expect({ failing, files, node, executable }).toEqual({
        failing,
        files: { "d/f": "remote" },
        node: id,
        executable: true,
      });
      if (count < failing) return;
    }
  });
}
