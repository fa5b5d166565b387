/** Names that mean something else on Windows, where they are refused at the disk. Rules: D22. */
import { expect, test } from "bun:test";
import { isLegalPath } from "../../src/adapters/disk/path.ts";

const OTHERS = [
  ..."..\\..\\evil|C:evil|a:stream|.synced.|.synced |.synced::$INDEX_ALLOCATION|nul|NUL.txt".split(
    "|",
  ),
  ...'con|Aux.log|prn|COM1|lpt9.txt|COM\u00b9|conin$|what?|a*b|<a>|"q"|tab\there|a\\b'.split("|"),
  "pipe|pipe",
];

test("a name that Windows takes for something else is refused there alone [D22]", () => {
  for (const name of OTHERS) {
    const found = [name, `d/${name}`, `${name}/f`].map((path) => isLegalPath(path, "win32"));
    expect({ name, found }).toEqual({ name, found: [false, false, false] });
    expect(isLegalPath(name, "linux")).toBe(true);
  }
  for (const name of ["null.txt", "console", "com10", ".gitignore", "a b", "naïve.txt", "x.y.z"]) {
    expect(isLegalPath(name, "win32")).toBe(true);
  }
});
