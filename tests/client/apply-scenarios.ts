/**
 * Scenarios for the loops that put a user's edit, or a crash, before every single call of an apply.
 */
import { type ApplyWorld, syncedWorld } from "./apply-world.ts";

export interface Scenario {
  readonly name: string;
  /** Where the user gets in the way. */
  readonly target: string;
  /** Contents that only this device has: no step may lose them. */
  readonly onlyHere: readonly string[];
  /** Directories stand in the parking for a moment. */
  readonly parks?: boolean;
  /** What the folder holds when nobody gets in the way. */
  readonly outcome: Readonly<Record<string, string>>;
  /** A world in which the news is there and not applied yet. */
  readonly make: (exchange: boolean) => Promise<ApplyWorld>;
}

const COPY = "f (conflict laptop 2026-01-01 25bf8e)";

export const SCENARIOS: readonly Scenario[] = [
  {
    name: "replace",
    target: "d/f",
    onlyHere: [],
    outcome: { "d/f": "remote" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "d/f");
      world.remoteWrite("d/f", "remote");
      return world;
    },
  },
  {
    name: "replace with a conflict",
    target: "f",
    onlyHere: ["local"],
    outcome: { f: "remote", [COPY]: "local" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "f");
      world.write("f", "local");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      world.remoteWrite("f", "remote");
      return world;
    },
  },
  {
    name: "delete",
    target: "d/f",
    onlyHere: [],
    outcome: { other: "text of other" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "d/f", "other");
      world.remoteDelete("d/f");
      world.remoteDelete("d");
      return world;
    },
  },
  {
    name: "create",
    target: "d/f",
    onlyHere: [],
    outcome: { "d/f": "remote" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange);
      world.remoteCreate("d", { kind: "directory" });
      world.remoteCreate("d/f", "remote");
      return world;
    },
  },
  {
    name: "move",
    target: "f",
    onlyHere: ["local"],
    outcome: { "d/g": "local" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "f", "d/");
      world.write("f", "local");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      world.remoteMove("f", "d/g");
      return world;
    },
  },
  {
    name: "move onto",
    target: "d/g",
    onlyHere: [],
    outcome: { "d/g": "text of f" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "f", "d/");
      world.remoteMove("f", "d/g");
      return world;
    },
  },
  {
    name: "swap",
    target: "a",
    onlyHere: ["local"],
    outcome: { a: "text of b", b: "local" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "a", "b");
      world.write("a", "local");
      world.clock.elapsedMs += 10_000;
      await world.settle();
      world.remoteSwap("a", "b");
      return world;
    },
  },
  {
    name: "metadata",
    target: "f",
    onlyHere: [],
    outcome: { f: "text of f" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "f");
      world.remoteWrite("f", world.content("text of f", { executable: true }));
      return world;
    },
  },
  {
    name: "a directory gives way to a file that came out of it",
    parks: true,
    target: "a/f",
    onlyHere: [],
    outcome: { a: "text of a/f" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "a/f", "a/g");
      world.remoteMove("a/f", "tmp");
      world.remoteDelete("a/g");
      world.remoteDelete("a");
      world.remoteMove("tmp", "a");
      return world;
    },
  },
  {
    name: "parent and child trade places",
    parks: true,
    target: "a/b/f",
    onlyHere: [],
    outcome: { "a/b/g": "text of a/g", "a/f": "text of a/b/f" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "a/b/f", "a/g");
      world.remoteMove("a/b", "tmp");
      world.remoteMove("a", "tmp/b");
      world.remoteMove("tmp", "a");
      return world;
    },
  },
  {
    name: "a directory of an overlay's lower layer moves",
    parks: true,
    target: "a/f",
    onlyHere: [],
    outcome: { "c/f": "text of a/f", "c/b/g": "text of a/b/g" },
    make: async (exchange) => {
      const world = await syncedWorld(exchange, "a/f", "a/b/g");
      world.makeLower("a", "a/b");
      world.remoteMove("a", "c");
      return world;
    },
  },
];
