/** Names, paths and symlink targets [N3, N4, N5, N8]. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { SyncedError } from "../../src/core/error.ts";
import {
  baseName,
  checkName,
  joinPath,
  looksTemporary,
  parentPath,
  parseName,
  parsePath,
  parseSymlinkTarget,
  utf8LengthBytes,
} from "../../src/core/path.ts";
import { anyText, inAscii, legalName, legalPath } from "../generate/names.ts";

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof SyncedError) return error.code;
    throw error;
  }
}

describe("checkName()", () => {
  const legal: readonly string[] = [
    "a",
    "...",
    "..a",
    ".hidden",
    "C:\\x",
    "\\\\srv\\share",
    "a\nb",
    "\x01\x1f\x7f",
    "trailing ",
    "\u00e9",
    "e\u0301",
    "\u{1f600}",
    "\uffff",
    "synced",
    ".syncedignore",
    ".synced-old",
    ".synce",
    "synced~",
    "synced~10",
    "asynced~1",
    "x".repeat(255),
    "\u{1f600}".repeat(63),
  ];
  test.each(legal.map(titled))("takes %s [N3]", (_title, name) => {
    expect(checkName(name)).toBeUndefined();
  });

  const invalid: readonly string[] = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "/etc/passwd",
    "file:///",
    "\0",
    "a\0b",
    "\ud800",
    "a\udc00",
    "\udc00\ud800",
    "\ufffe",
    `${"x".repeat(300)}/`,
  ];
  test.each(invalid.map(titled))("refuses %s as invalid_path [N3]", (_title, name) => {
    expect(checkName(name)).toBe("invalid_path");
  });

  const long: readonly string[] = ["x".repeat(256), "\u00e9".repeat(128), "\u{1f600}".repeat(64)];
  test.each(long)("refuses %j as path_too_long [N3]", (name) => {
    expect(checkName(name)).toBe("path_too_long");
  });

  const reserved: readonly string[] = [
    ".synced",
    ".SYNCED",
    ".Synced",
    ".\u017fynced",
    ".s\u200bynced",
    "\ufeff.synced",
    ".sync\u00aded",
    ".synced\u{e0001}",
    "\uff0e\uff53\uff59\uff4e\uff43\uff45\uff44",
    "\u2024synced",
    ".sync\u212fd",
    ".syn\u217ded",
    ".\u24e2ynced",
    "SYNCED~1",
    "synced~2",
    "\uff33YNCED~1",
  ];
  test.each(reserved)("refuses %j as reserved_name [N5]", (name) => {
    expect(checkName(name)).toBe("reserved_name");
  });

  test("parseName() returns the name as it is, or throws what checkName() says [N3]", () => {
    fc.assert(
      fc.property(anyText(), (text) => {
        expect(codeOf(() => expect(parseName(text)).toBe(text))).toBe(checkName(text));
      }),
    );
  });
});

describe("parsePath()", () => {
  test("splits and joins back to the same bytes [N4]", () => {
    fc.assert(
      fc.property(legalPath(), (path) => {
        const names = parsePath(path);
        expect(names.join("/")).toBe(path);
        expect(names.every((name) => checkName(name) === undefined)).toBe(true);
      }),
    );
  });

  const refused: readonly (readonly [string, string])[] = [
    ["", "invalid_path"],
    ["../x", "invalid_path"],
    ["a/../../x", "invalid_path"],
    ["a/./b", "invalid_path"],
    ["a//b", "invalid_path"],
    ["/a", "invalid_path"],
    ["a/", "invalid_path"],
    ["a\0/b", "invalid_path"],
    ["a/.synced/b", "reserved_name"],
    [`a/${"x".repeat(256)}`, "path_too_long"],
    [new Array(257).fill("a").join("/"), "path_too_long"],
    ["x/".repeat(3000), "path_too_long"],
    [`${"\u00e9".repeat(127)}/`.repeat(17), "path_too_long"],
  ];
  test.each(refused)("refuses %j as %s [N4]", (path, code) => {
    expect(codeOf(() => parsePath(path))).toBe(code);
  });

  test("takes 256 names and 4,096 bytes [N4]", () => {
    expect(parsePath(new Array(256).fill("a").join("/"))).toHaveLength(256);
    const path = `${"x".repeat(255)}/`.repeat(15) + "y".repeat(255);
    expect(parsePath(`${path}`)).toHaveLength(16);
    expect(utf8LengthBytes(path)).toBe(4095);
  });

  test("joinPath(), parentPath() and baseName() undo each other [N4]", () => {
    fc.assert(
      fc.property(legalPath(), legalName(), (parent, name) => {
        expect(parentPath(joinPath(parent, name))).toBe(parent);
        expect(baseName(joinPath(parent, name))).toBe(name);
        expect(joinPath("", name)).toBe(name);
        expect(parentPath(name)).toBe("");
        expect(joinPath(parentPath(parent), baseName(parent))).toBe(parent);
      }),
    );
  });
});

describe("parseSymlinkTarget()", () => {
  const targets = ["a", "..", "../../x", "/etc/passwd", "a//b/", ".synced", "x".repeat(4096)];
  test.each(targets)("keeps %j as it is [N8]", (target) => {
    expect(parseSymlinkTarget(target)).toBe(target);
  });

  const refused: readonly (readonly [string, string])[] = [
    ["", "invalid_path"],
    ["a\0", "invalid_path"],
    ["\ud800", "invalid_path"],
    ["x".repeat(4097), "path_too_long"],
    ["\u00e9".repeat(2049), "path_too_long"],
  ];
  test.each(refused)("refuses %j as %s [N8]", (target, code) => {
    expect(codeOf(() => parseSymlinkTarget(target))).toBe(code);
  });
});

describe("utf8LengthBytes()", () => {
  test("equals what an encoder makes, lone surrogates included [N3]", () => {
    const encoder = new TextEncoder();
    fc.assert(
      fc.property(anyText(), (text) => {
        expect(utf8LengthBytes(text)).toBe(encoder.encode(text).length);
      }),
    );
  });
});

describe("looksTemporary()", () => {
  test("knows what programs call the files that they rename over others [A11]", () => {
    const names = [
      ".f.txt.Ab3dE9",
      ".goutputstream-8XK2",
      ".~lock.f.odt#",
      "#f#",
      "~$f.docx",
      "~WRD0001.tmp",
      "f.txt~",
      "f.txt.tmp",
      "tmp8f3k2x1q",
      "lu1234.TMP",
      ".f.swp",
      "f.part",
      "index.lock",
      "f.db-journal",
      "package.json.1234.new",
      "f.txt.kTqW3x",
      "sedAbCdEf",
      "1A2B3C4D",
    ];
    expect(names.filter((name) => !looksTemporary(name))).toEqual([]);
  });

  test("takes nobody's time otherwise [A11]", () => {
    const names = ["f", "f.txt", ".syncedignore", ".gitignore", "template.html", "4913.md", "news"];
    expect(names.filter(looksTemporary)).toEqual([]);
  });
});

function titled(name: string): [title: string, name: string] {
  return [inAscii(name), name];
}
