/** When which work is due. Rules: Y1, Y2, Y5. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Agenda, type Reason } from "../../src/client/agenda.ts";

describe("Agenda", () => {
  test("what is entered while a turn works is not put off by its end [Y2, F66]", () => {
    const agenda = new Agenda();
    agenda.at("full scan", 5);
    expect([...agenda.takeDue(5)]).toEqual(["full scan"]);
    agenda.at("full scan", 7);
    agenda.at("full scan", 600_000);
    expect(agenda.nextMs).toBe(7);
  });

  test("what is done is not due [Y5]", () => {
    const agenda = new Agenda();
    agenda.at("plan", 1);
    agenda.done("plan");
    expect(agenda.nextMs).toBe(Number.POSITIVE_INFINITY);
    expect(agenda.takeDue(9).size).toBe(0);
  });

  test("no time that has passed stays on it [Y5]", () => {
    const entry = fc.tuple(fc.constantFrom<Reason>("full scan", "plan", "report"), fc.nat(100));
    fc.assert(
      fc.property(fc.array(entry), fc.nat(100), (entries, nowMs) => {
        const agenda = new Agenda();
        for (const [reason, atMs] of entries) agenda.at(reason, atMs);
        const due = agenda.takeDue(nowMs);
        const dueByHand = entries.filter(([, atMs]) => atMs <= nowMs).map(([reason]) => reason);
        expect(due).toEqual(new Set(dueByHand));
        expect(agenda.nextMs).toBeGreaterThan(nowMs);
      }),
    );
  });
});
