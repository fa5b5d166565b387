/** What every EventSink promises. Rules: M1, M3. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { sha256 } from "../../src/core/digest.ts";
import { parseFolderName } from "../../src/core/identifier.ts";
import type { EventSink, FilesLogRow, LogName } from "../../src/ports/event-sink.ts";
import { DEVICE, hexId, SERVER } from "../server/server-world.ts";

export interface SinkUnderTest {
  readonly sink: EventSink;
  /** What a person would read, in the order of the ids. */
  rows(log: LogName): Promise<readonly FilesLogRow[]>;
  drop(): Promise<void>;
}

let logCount = 0;

/** A log that no other test writes. */
export function freshLog(name = "default"): LogName {
  logCount += 1;
  const epoch = hexId<LogName["epoch"]>("e", logCount);
  return { server: SERVER, folder: parseFolderName(name), epoch };
}

export function rowOf(seq: number, more: Partial<FilesLogRow> = {}): FilesLogRow {
  return {
    seq,
    time: "2026-01-02T03:04:05.678Z",
    action: "upload",
    path: `file ${seq}`,
    size: seq,
    sha256: sha256(`${seq}`),
    device: "laptop",
    deviceId: DEVICE,
    ...more,
  };
}

export function rowsOf(from: number, to: number): FilesLogRow[] {
  return Array.from({ length: to - from + 1 }, (_, index) => rowOf(from + index));
}

export function eventSinkContract(name: string, make: () => Promise<SinkUnderTest>): void {
  describe(`EventSink: ${name}`, () => {
    let world: SinkUnderTest;
    beforeAll(async () => {
      world = await make();
      await world.sink.open();
    });
    afterAll(async () => await world.drop());
    const batch = (after: number, rows: readonly FilesLogRow[]) => ({
      after,
      rows,
      hash: sha256(`hash ${rows.at(-1)?.seq}`),
    });

    test("a log that nothing was written of is at seq 0, without a hash [M1]", async () => {
      expect(await world.sink.cursor(freshLog())).toEqual({ seq: 0 });
    });

    test("append() writes rows in order and moves the cursor with its hash [M1]", async () => {
      const log = freshLog();
      await world.sink.cursor(log);
      expect(await world.sink.append(log, batch(0, rowsOf(1, 3)))).toBe("appended");
      expect(await world.sink.append(log, batch(3, rowsOf(4, 4)))).toBe("appended");
      expect(await world.rows(log)).toEqual(rowsOf(1, 4));
      expect(await world.sink.cursor(log)).toEqual({ seq: 4, hash: sha256("hash 4") });
    });

    test("append() does nothing where the cursor is elsewhere [M3]", async () => {
      const log = freshLog();
      await world.sink.cursor(log);
      expect(await world.sink.append(log, batch(2, rowsOf(3, 4)))).toBe("cursor_moved");
      await world.sink.append(log, batch(0, rowsOf(1, 2)));
      expect(await world.sink.append(log, batch(0, rowsOf(1, 2)))).toBe("cursor_moved");
      expect(await world.rows(log)).toEqual(rowsOf(1, 2));
      expect(await world.sink.cursor(log)).toEqual({ seq: 2, hash: sha256("hash 2") });
    });

    test("logs of other folders, epochs and servers are apart [M1]", async () => {
      const log = freshLog("one");
      const others = [
        { ...log, folder: parseFolderName("two") },
        { ...log, epoch: freshLog().epoch },
        { ...log, server: hexId<LogName["server"]>("5", 99) },
      ];
      for (const one of [log, ...others]) {
        await world.sink.cursor(one);
        expect(await world.sink.append(one, batch(0, rowsOf(1, 2)))).toBe("appended");
      }
      for (const one of [log, ...others]) expect(await world.rows(one)).toEqual(rowsOf(1, 2));
    });

    test("what is not there stays away, and every field comes back as it was [M1]", async () => {
      const log = freshLog();
      const { time, path, device, deviceId } = rowOf(1);
      const rows: FilesLogRow[] = [
        { seq: 1, time, action: "mkdir", path, device, deviceId },
        rowOf(2, { action: "rename", oldPath: "old", path: "new", size: Number.MAX_SAFE_INTEGER }),
        rowOf(3, { path: "tab\t quote\" ' back\\ \u{1f980} \u202e \r\n %s $1 {} NULL" }),
        rowOf(4, { path: "x".repeat(4096), device: "", size: 0 }),
      ];
      await world.sink.cursor(log);
      await world.sink.append(log, batch(0, rows));
      expect(await world.rows(log)).toEqual(rows);
    });

    test("open() may be called again and again [M5]", async () => {
      await world.sink.open();
      await world.sink.open();
    });
  });
}
