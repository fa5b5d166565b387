/** The laws of a round find each kind of fault in rounds that are told, not played. */
import { describe, expect, test } from "bun:test";
import { digestOf, type Snapshot } from "../scenarios/snapshot.ts";
import { violationsOf } from "./chaos-laws.ts";
import { ChaosLedger } from "./chaos-ledger.ts";

const TIME = "1700000000000000000";

function file(text: string, mark = "", time = TIME): string {
  return `file ${digestOf(text)}${mark} ${time}`;
}

function tree(entries: Readonly<Record<string, string>>): Snapshot {
  return new Map(Object.entries(entries));
}

const START = { a: file("one"), "d/b": file("two"), d: "directory" };

/** What users do in these rounds, as their hands tell it. */
class Story {
  readonly ledger = new ChaosLedger();

  readonly #start: Snapshot;

  constructor(start: Readonly<Record<string, string>> = START) {
    this.#start = tree(start);
    this.ledger.beginRound(1, this.#start);
  }

  writes(device: string, path: string, before: string, after: string): this {
    const piece = this.ledger.pieceOf(digestOf(before));
    piece?.touchedBy.add(device);
    piece?.writtenBy.add(device);
    this.ledger.holds(piece, digestOf(after));
    this.ledger.giveUp(digestOf(before));
    this.ledger.require(digestOf(after), device, path);
    return this;
  }

  makes(device: string, text: string, path: string): this {
    const piece = this.ledger.newPiece(device);
    this.ledger.placeEvent(device, path);
    this.ledger.placed(piece, device, undefined, path);
    this.ledger.holds(piece, digestOf(text));
    this.ledger.require(digestOf(text), device, path);
    return this;
  }

  renames(device: string, text: string, from: string, to: string): this {
    for (const path of [from, to]) this.ledger.placeEvent(device, path);
    const piece = this.ledger.pieceOf(digestOf(text));
    this.ledger.named(piece, device, from, to);
    this.ledger.placed(piece, device, from, to);
    return this;
  }

  renamesDirectory(device: string, from: string, to: string): this {
    for (const path of [from, to]) this.ledger.placeEvent(device, path);
    this.ledger.renamedDirectory(from, to);
    this.ledger.placed(this.ledger.pieceOf(digestOf("two")), device, `${from}/b`, `${to}/b`);
    return this;
  }

  deletes(device: string, text: string, path: string): this {
    const piece = this.ledger.pieceOf(digestOf(text));
    piece?.touchedBy.add(device);
    piece?.removedBy.add(device);
    this.ledger.placeEvent(device, path);
    this.ledger.giveUp(digestOf(text));
    return this;
  }

  sets(device: string, text: string, mark: { mode?: boolean; time?: string }): this {
    const piece = this.ledger.pieceOf(digestOf(text));
    piece?.touchedBy.add(device);
    if (mark.mode !== undefined) piece?.modeBy.set(device, mark.mode);
    if (mark.time !== undefined) piece?.timeBy.set(device, mark.time);
    return this;
  }

  /** @param stopped what A's folder held when its users had stopped. @default the end */
  ends(
    end: Readonly<Record<string, string>>,
    stopped = end,
    earlierLosers: ReadonlyMap<string, string> = new Map(),
  ): string[] {
    const { ledger } = this;
    const folders = new Map([["A", tree(stopped)]]);
    const start = this.#start;
    const round = { ledger, start, stopped: folders, end: tree(end), earlierLosers };
    return violationsOf(round).map(({ what }) => what.split(":")[0]?.split(" at ")[0] ?? "");
  }
}

describe("violationsOf() says nothing", () => {
  test("where nothing happened [I5]", () => {
    expect(new Story().ends(START)).toEqual([]);
  });

  test("where the bytes of both are there [I2, R4]", () => {
    const story = new Story().writes("A", "a", "one", "of A").writes("B", "a", "one", "of B");
    const copy = { "a (conflict A 2026-11-28 123456)": file("of A") };
    expect(story.ends({ ...START, a: file("of B"), ...copy })).toEqual([]);
  });

  test("where a device's copy got its next loser's bytes [R19]", () => {
    const story = new Story().writes("A", "a", "one", "of A").writes("B", "a", "one", "of B");
    const end = { ...START, a: file("of B") };
    const replacedBy = (text: string) => new Map([[digestOf("of A"), digestOf(text)]]);
    story.writes("A", "a", "of B", "later").writes("B", "a", "later", "of B");
    expect(story.ends(end, end, replacedBy("later"))).toEqual([]);
    // A copy of another file is no excuse.
    expect(story.ends(end, end, replacedBy("two"))).toEqual(["lost"]);
  });

  test("where somebody set the mode of a copy that got its next loser's bytes [R19]", () => {
    const copy = "a (conflict C 2026-11-28 123456)";
    const began = { ...START, [copy]: file("of C") };
    const story = new Story(began).writes("B", "a", "one", "of B").writes("C", "a", "one", "later");
    story.sets("A", "of C", { mode: true }).ledger.placeEvent("A", copy);
    const stopped = { ...START, [copy]: file("of C", " executable") };
    const next = "a (conflict C 2026-11-28 abcdef)";
    const end = { ...START, a: file("of B"), [next]: file("later", " executable") };
    const losers = new Map([[digestOf("of C"), digestOf("later")]]);
    expect(story.ends(end, stopped, losers)).toEqual([]);
    expect(story.ends(end, stopped)).toEqual(["undone"]);
  });

  test("where somebody deletes a copy that gets its next loser's bytes [R19, R7]", () => {
    const copy = "a (conflict C 2026-11-28 123456)";
    const story = new Story({ ...START, [copy]: file("of C") });
    story.writes("B", "a", "one", "of B").writes("C", "a", "one", "later");
    story.deletes("A", "of C", copy);
    const end = { ...START, a: file("of B"), [copy]: file("later") };
    const losers = new Map([[digestOf("of C"), digestOf("later")]]);
    expect(story.ends(end, START, losers)).toEqual([]);
    expect(story.ends(end, START)).toEqual(["undone"]);
  });

  test("where one names a directory and another one moves it, and files in it change [R6, R7]", () => {
    const story = new Story().renamesDirectory("A", "d", "e").renamesDirectory("B", "d", "x/d");
    story.writes("B", "x/d/b", "two", "of B").deletes("A", "two", "x/e/b");
    const end = { a: START.a, x: "directory", "x/e": "directory", "x/e/b": file("of B") };
    const stopped = { a: START.a, x: "directory", "x/e": "directory" };
    expect(story.ends(end, stopped)).toEqual([]);
  });

  test("where one writes to a file and another one puts a new one in its place [A15, R4]", () => {
    const story = new Story().makes("A", "new", "c").renames("A", "one", "a", "x");
    story.renames("A", "new", "c", "a").writes("B", "a", "one", "of B");
    const copy = { "a (conflict B 2026-11-28 123456)": file("of B") };
    expect(story.ends({ ...START, a: file("new"), x: START.a, ...copy })).toEqual([]);
  });

  test("where one makes an empty file anew and names it, and another one moves the former [A15, R6]", () => {
    const began = { ...START, e: file(""), f: file("") };
    const story = new Story(began).makes("A", "anew", "e").renames("A", "anew", "e", "c");
    for (const path of ["e", "d/f", "f"]) story.ledger.placeEvent("B", path);
    const end = { ...START, "d/c": file("anew"), e: file("") };
    expect(story.ends(end, { ...START, c: file("anew"), f: file("") })).toEqual([]);
  });

  test("where one renames a file that another one empties [R3]", () => {
    const story = new Story().writes("B", "a", "one", "").renames("A", "one", "a", "c");
    const { a: _, ...others } = START;
    expect(story.ends({ ...others, c: file("") }, { ...others, c: START.a })).toEqual([]);
  });

  test("where one renames a file over one of two that are the same, and another one edits that [R3]", () => {
    const story = new Story({ ...START, e: START.a, f: START.a }).renames("A", "two", "d/b", "f");
    const copy = { "f (conflict A 2026-11-28 123456)": file("two") };
    story.ledger.holds(undefined, digestOf("of B"));
    const end = { ...START, e: START.a, f: file("of B"), ...copy };
    const { "d/b": _, ...others } = end;
    expect(story.ends(others)).not.toContain("needless copy");
  });

  test("where one fills an empty file that another one replaces [R3, R4]", () => {
    const began = { ...START, e: file("") };
    const story = new Story(began).deletes("B", "", "e").makes("B", "anew", "e");
    const { ledger } = story;
    ledger.holds(ledger.filledPiece("A", "e"), digestOf("filled"));
    ledger.require(digestOf("filled"), "A", "e");
    const copy = { "e (conflict B 2026-11-28 123456)": file("anew") };
    const end = { ...START, e: file("filled"), ...copy };
    expect(story.ends(end)).toEqual([]);
  });

  test("where somebody writes to a copy that gets its next loser's bytes [R19]", () => {
    const copy = "a (conflict C 2026-11-28 123456)";
    const next = "a (conflict C 2026-11-28 abcdef)";
    const story = new Story({ ...START, [copy]: file("of C") });
    story.writes("B", "a", "one", "of B").writes("C", "a", "one", "later");
    story.writes("A", copy, "of C", "of A");
    const copies = {
      [next]: file("later"),
      [`${next} (conflict A 2026-11-28 111111)`]: file("of A"),
    };
    const losers = new Map([[digestOf("of C"), digestOf("later")]]);
    expect(story.ends({ ...START, a: file("of B"), ...copies }, START, losers)).toEqual([]);
  });

  test("where bytes were excused in an earlier round [I2]", () => {
    const story = new Story().writes("A", "a", "one", "of A");
    story.ledger.beginRound(2, tree(START));
    expect(story.ends(START)).toEqual([]);
  });

  test("where what only one device knew traded places with a file that another set [A15]", () => {
    const story = new Story().makes("B", "new", "c").renames("B", "one", "a", "x");
    story.renames("B", "new", "c", "a").renames("B", "one", "x", "c");
    story.sets("A", "one", { time: "5", mode: true });
    const end = { ...START, a: file("new"), c: START.a };
    expect(story.ends(end)).toEqual([]);
  });

  test("where a conflict copy gets a directory and the file itself a name [R4]", () => {
    const story = new Story().writes("A", "a", "one", "of A").writes("B", "a", "one", "of B");
    const copy = "a (conflict B 2026-11-28 123456)";
    story.renames("B", "of B", copy, `d/${copy}`).renames("B", "of A", "a", "c");
    const { a: _, ...others } = START;
    expect(story.ends({ ...others, c: file("of A"), [`d/${copy}`]: file("of B") })).toEqual([]);
  });

  test("where one's name and another's directory make a place that a third one chose [R6]", () => {
    const story = new Story().renames("A", "one", "a", "c").renames("B", "one", "a", "d/a");
    story.renames("C", "two", "d/b", "d/c");
    const copy = { "d/c (conflict C 2026-11-28 123456)": file("two") };
    expect(story.ends({ d: "directory", "d/c": file("one"), ...copy })).toEqual([]);
  });

  test("where bytes that one made anew are those that another one replaced [R3]", () => {
    const story = new Story().deletes("A", "one", "a").makes("A", "one", "a");
    expect(story.writes("B", "a", "one", "of B").ends({ ...START, a: file("of B") })).toEqual([]);
    const { ledger } = story.makes("A", "one", "a");
    expect(ledger.requires(digestOf("one"))).toBe(true);
    expect(story.ends({ ...START, a: file("of B") })).toEqual([]);
  });

  test("where a file that was deleted before comes back with the server's copy [S10]", () => {
    const { ledger } = new Story();
    ledger.rejoins.add("server");
    const copy = { "a (conflict B 2026-11-28 123456)": START.a };
    ledger.holds(ledger.newPiece("A"), digestOf("older"));
    const end = tree({ ...START, a: file("older"), ...copy });
    const round = { ledger, start: tree(START), stopped: new Map(), end, earlierLosers: new Map() };
    expect(violationsOf({ ...round, restoredTo: tree({ ...START, a: file("older") }) })).toEqual(
      [],
    );
    expect(violationsOf({ ...round, restoredTo: tree(START) })).not.toEqual([]);
  });

  test("where a directory is renamed and a file in it edited [R3]", () => {
    const story = new Story().renamesDirectory("A", "d", "e").writes("B", "d/b", "two", "of B");
    expect(story.ends({ a: START.a, e: "directory", "e/b": file("of B") })).toEqual([]);
  });

  test("where what was moved comes back after a state was lost [R11]", () => {
    const story = new Story().renames("A", "one", "a", "c");
    story.ledger.rejoins.add("A");
    expect(story.ends({ ...START, c: START.a })).toEqual([]);
  });
});

describe("violationsOf() finds", () => {
  test("bytes that are nowhere [I2]", () => {
    const story = new Story().writes("A", "a", "one", "of A").writes("B", "a", "one", "of B");
    expect(story.ends({ ...START, a: file("of B") })).toEqual(["lost"]);
  });

  test("bytes that nobody wrote [I5]", () => {
    expect(new Story().writes("A", "a", "one", "x").ends({ ...START, a: file("torn") })).toContain(
      "invented",
    );
  });

  test("a name that is undone [R1, R3]", () => {
    const story = new Story().renames("A", "one", "a", "c").writes("B", "a", "one", "of B");
    const { a: _, ...others } = START;
    expect(story.ends({ ...others, a: file("of B") }, { ...others, c: START.a })).toContain(
      "name undone",
    );
  });

  test("a name of one person and a directory of another, one of them undone [R1, R3]", () => {
    const both = () => new Story().renames("A", "one", "a", "c").renames("B", "one", "a", "d/a");
    const { a, ...others } = START;
    expect(both().ends({ ...others, "d/c": a }, { ...others, c: a })).toEqual([]);
    expect(both().ends({ ...others, "d/a": a }, { ...others, c: a })).toEqual(["name undone"]);
  });

  test("a mode and a time that are undone [R5]", () => {
    const mode = new Story().sets("A", "one", { mode: true }).writes("B", "a", "one", "of B");
    expect(mode.ends({ ...START, a: file("of B") })).toEqual(["mode undone"]);
    const time = new Story().sets("A", "one", { time: "5" }).sets("B", "one", { mode: true });
    expect(time.ends({ ...START, a: file("one", " executable") })).toEqual(["time undone"]);
  });

  test("a mode that is undone where names were swapped by a temporary one [A15, R5]", () => {
    const story = new Story().renames("A", "one", "a", ".a.tmp").renames("A", "two", "d/b", "a");
    story.renames("A", "one", ".a.tmp", "d/b").sets("B", "one", { mode: true });
    const end = { d: "directory", "d/b": file("one"), a: file("two") };
    expect(story.ends(end)).toContain("mode undone");
  });

  test("what was deleted and came back [I6]", () => {
    const { a: _, ...others } = START;
    expect(new Story().deletes("A", "one", "a").ends(START, others)).toEqual(["undone"]);
  });

  test("what nobody touched and is gone, or another [I7]", () => {
    const { a: _, ...others } = START;
    expect(new Story().ends(others)).toEqual(["untouched, but not as it was"]);
    expect(new Story().ends({ ...START, a: file("one", "", "7") })).toEqual([
      "untouched, but not as it was",
    ]);
  });

  test("a copy where nothing clashed, and one file twice [I9]", () => {
    const copy = { "a (conflict A 2026-11-28 123456)": START.a };
    const story = new Story().writes("A", "a", "one", "of A");
    expect(story.ends({ ...START, a: file("of A"), ...copy })).toContain("needless copy");
    const { a: _, ...others } = START;
    const doubled = { ...START, c: START.a };
    expect(
      new Story().renames("A", "one", "a", "c").ends(doubled, { ...others, c: START.a }),
    ).toEqual(["doubled", "undone"]);
  });
});
