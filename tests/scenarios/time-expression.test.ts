/** Moments as people write them. The time zone of the machine counts, so days are made with Date. */
import { describe, expect, test } from "bun:test";
import { parseTimeExpression, readTimeExpression } from "../../src/commands/time-expression.ts";

/** A Saturday, 11:44 where the test runs. */
const NOW = new Date(2026, 10, 28, 11, 44, 30);
const nowMs = NOW.getTime();

function read(text: string, edge: "beginning" | "end" = "end") {
  return parseTimeExpression(text, { nowMs, edge });
}

function at(day: number, hour = 0, minute = 0, month = 10) {
  return { kind: "time", timeMs: new Date(2026, month, day, hour, minute).getTime() } as const;
}

describe("parseTimeExpression()", () => {
  test("takes the number of an event [X2]", () => {
    expect(read("0")).toEqual({ kind: "seq", seq: 0 });
    expect(read("1179")).toEqual({ kind: "seq", seq: 1179 });
  });

  test.each([
    ["90s", 90_000],
    ["90m", 5_400_000],
    ["2h", 7_200_000],
    ["3d", 259_200_000],
    ["2w", 1_209_600_000],
    ["2h ago", 7_200_000],
    ["an hour ago", 3_600_000],
    ["now", 0],
  ])("takes %p as that long ago [X2]", (text, agoMs) => {
    expect(read(text)).toEqual({ kind: "time", timeMs: nowMs - agoMs });
  });

  test.each([
    ["yesterday 18:00", at(27, 18)],
    ["Friday 18:00", at(27, 18)],
    ["2026-11-27 18:00", at(27, 18)],
    ["nov 3 9:30", at(3, 9, 30)],
    ["9:30", at(28, 9, 30)],
  ])("takes %p in this machine's time zone [X2]", (text, moment) => {
    expect(read(text)).toEqual(moment);
    expect(read(text, "beginning")).toEqual(moment);
  });

  test("takes RFC 3339 as it is [X2]", () => {
    const timeMs = Date.UTC(2026, 10, 27, 17, 0, 0, 250);
    expect(read("2026-11-27T17:00:00.250Z")).toEqual({ kind: "time", timeMs });
    expect(read("2026-11-27T18:00:00.250+01:00")).toEqual({ kind: "time", timeMs });
  });

  test.each(["friday", "last friday", "yesterday", "2026-11-27"])(
    "takes the end of %p as the state at that day, its beginning as since [X2]",
    (text) => {
      expect(read(text)).toEqual({ kind: "time", timeMs: at(28).timeMs - 1 });
      expect(read(text, "beginning")).toEqual(at(27));
    },
  );

  test("takes the end of a day that is not over as now [X2]", () => {
    expect(read("today")).toEqual({ kind: "time", timeMs: nowMs });
    expect(read("today", "beginning")).toEqual(at(28));
  });

  test("takes a weekday as the last one, although the next one is nearer [X2]", () => {
    expect(read("monday 9:00")).toEqual(at(23, 9));
    expect(read("monday", "beginning")).toEqual(at(23));
    expect(read("saturday 18:00")).toEqual(at(21, 18));
  });

  test.each([
    ["tomorrow", "not over yet"],
    ["18:00", "not over yet"],
    ["2099-01-01", "not over yet"],
    ["2099-01-01T00:00:00Z", "not over yet"],
    ["11/10/2026", "either way"],
    ["last month", "no hour and no day"],
    ["yesterday evening", "no hour and no day"],
    ["from 9 to 11", "two moments"],
    ["foo yesterday bar", "no moment"],
    ["photos", "no moment"],
    ["", "no moment"],
    ["-1", "no moment"],
    ["2026-13-45T00:00:00Z", "no moment"],
  ])("refuses %p and says how to write one [X2]", (text, reason) => {
    expect(() => read(text)).toThrow(reason);
    expect(() => read(text)).toThrow("yesterday 18:00");
  });

  test("leaves what is no moment to whoever asks [X2]", () => {
    for (const text of ["notes", "./friday", "friday/plan.md", "a b"]) {
      expect(readTimeExpression(text, { nowMs, edge: "end" })).toBeUndefined();
    }
  });
});
