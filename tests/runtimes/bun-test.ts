/**
 * As much of `bun:test` as the suites use that `suites-in-deno.ts` runs in Deno, where an import
 * map puts this in its place.
 */
import { isDeepStrictEqual } from "node:util";

type Work = () => unknown;

interface Suite {
  readonly hooks: Record<"beforeAll" | "beforeEach" | "afterEach" | "afterAll", Work[]>;
  readonly items: { readonly name: string; readonly does: Suite | Work }[];
}

function newSuite(): Suite {
  return { hooks: { beforeAll: [], beforeEach: [], afterEach: [], afterAll: [] }, items: [] };
}

let open = newSuite();

const hook = (kind: keyof Suite["hooks"]) => (work: Work) => void open.hooks[kind].push(work);
export const beforeAll = hook("beforeAll");
export const beforeEach = hook("beforeEach");
export const afterEach = hook("afterEach");
export const afterAll = hook("afterAll");

function addSuite(name: string, fill: Work): void {
  const outer = open;
  open = newSuite();
  outer.items.push({ name, does: open });
  fill();
  open = outer;
}

function addTest(name: string, work: Work): void {
  open.items.push({ name, does: work });
}

type RowWork = (...row: unknown[]) => unknown;

/** An array is the arguments. */
const eachOf =
  (add: typeof addTest) => (rows: readonly unknown[]) => (name: string, work: RowWork) => {
    for (const row of rows) {
      const values = Array.isArray(row) ? row : [row];
      add(`${name} (${String(values[0])})`, () => work(...values));
    }
  };

export const test = Object.assign(addTest, { each: eachOf(addTest) });
export const describe = Object.assign(addSuite, { each: eachOf(addSuite) });

/** What is undefined counts as absent. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null || value.constructor !== Object) return value;
  const entries = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(entries.map(([key, field]) => [key, plain(field)]));
}

function hasParts(value: unknown, wanted: unknown): boolean {
  if (typeof wanted !== "object" || wanted === null) return Object.is(value, wanted);
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(wanted) && lengthOf(value) !== wanted.length) return false;
  return Object.entries(wanted).every(([key, field]) => hasParts(Reflect.get(value, key), field));
}

function lengthOf(value: unknown): unknown {
  return Reflect.get(Object(value), "length");
}

function contains(value: unknown, wanted: unknown): boolean {
  return Array.isArray(value) ? value.includes(wanted) : String(value).includes(String(wanted));
}

function throws(work: unknown, wanted: unknown): boolean {
  try {
    if (typeof work === "function") work();
    return false;
  } catch (error) {
    return wanted === undefined || String(error).includes(String(wanted));
  }
}

const MATCHERS: Readonly<Record<string, (value: unknown, wanted: unknown) => boolean>> = {
  toBe: Object.is,
  toBeDefined: (value) => value !== undefined,
  toBeUndefined: (value) => value === undefined,
  toBeNull: (value) => value === null,
  toBeString: (value) => typeof value === "string",
  toBeGreaterThan: (value, wanted) => Number(value) > Number(wanted),
  toBeGreaterThanOrEqual: (value, wanted) => Number(value) >= Number(wanted),
  toBeLessThan: (value, wanted) => Number(value) < Number(wanted),
  toBeLessThanOrEqual: (value, wanted) => Number(value) <= Number(wanted),
  toContain: contains,
  toStartWith: (value, wanted) => String(value).startsWith(String(wanted)),
  toEndWith: (value, wanted) => String(value).endsWith(String(wanted)),
  toMatch: (value, wanted) => wanted instanceof RegExp && wanted.test(String(value)),
  toEqual: (value, wanted) => isDeepStrictEqual(plain(value), plain(wanted)),
  toHaveLength: (value, wanted) => lengthOf(value) === wanted,
  toMatchObject: hasParts,
  toThrow: throws,
};

function claimsOn(value: unknown, isMeant: boolean) {
  const claim = (name: string, holds: (typeof MATCHERS)[string]) => (wanted?: unknown) => {
    if (holds(value, wanted) === isMeant) return;
    const [found, expected] = [value, wanted].map((one) => JSON.stringify(one)?.slice(0, 2_000));
    throw new Error(`${isMeant ? "" : "not "}${name}: found ${found}, expected ${expected}`);
  };
  const entries = Object.entries(MATCHERS);
  return Object.fromEntries(entries.map(([name, holds]) => [name, claim(name, holds)]));
}

export function expect(value: unknown) {
  return { ...claimsOn(value, true), not: claimsOn(value, false) };
}

export interface Tally {
  passed: number;
  readonly failures: string[];
}

/** Loads a file, which adds its suites, and runs them. */
export async function runFile(path: string, tally: Tally): Promise<void> {
  open = newSuite();
  await import(`file://${path}`);
  await runSuite(open, [], { path, tally });
}

async function runSuite(
  suite: Suite,
  outer: readonly Suite[],
  { path, tally }: { readonly path: string; readonly tally: Tally },
): Promise<void> {
  const chain = [...outer, suite];
  for (const work of suite.hooks.beforeAll) await work();
  for (const { name, does } of suite.items) {
    const place = `${path} > ${name}`;
    if (typeof does === "function") await runTest(does, chain, { path: place, tally });
    else await runSuite(does, chain, { path: place, tally });
  }
  for (const work of suite.hooks.afterAll) await work();
}

async function runTest(
  work: Work,
  chain: readonly Suite[],
  { path, tally }: { readonly path: string; readonly tally: Tally },
): Promise<void> {
  try {
    for (const { hooks } of chain) for (const before of hooks.beforeEach) await before();
    await work();
    for (const { hooks } of chain.toReversed()) for (const after of hooks.afterEach) await after();
    tally.passed += 1;
  } catch (error) {
    const story = error instanceof Error ? (error.stack ?? error.message) : String(error);
    tally.failures.push(`${path}\n${story}`);
  }
}
