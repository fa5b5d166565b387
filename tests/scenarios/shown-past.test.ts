/** Lines for people about the past. */
import { expect, test } from "bun:test";
import { logLine, versionLine } from "../../src/commands/shown-past.ts";
import type { LogRow, Version } from "../../src/protocol/time-answers.ts";

const who = { device: "a".repeat(32), deviceName: "NAS", time: "2026-11-27T18:04:05Z" };
const version: Version = {
  ...who,
  seq: 7,
  kind: "modify",
  action: "update",
  id: "b",
  path: "plan.md",
  size: 12,
};
const row: LogRow = { ...version, kind: "file", lastSeq: 7, count: 1 };

test("versions whose bytes are gone stay in log and history, and say why [U7, X3]", () => {
  for (const line of [logLine({ ...row, gone: true }), versionLine({ ...version, gone: true })]) {
    expect(line).toContain("plan.md");
    expect(line).toContain("bytes gone: older than the server keeps versions");
  }
  for (const line of [logLine(row), versionLine(version)]) expect(line).not.toContain("gone");
});
