/**
 * The stores fail the first, second, third ... call that a server makes, before or after it was
 * carried out, until the story runs clean. What was answered stays, and what was not is told again
 * by its author and is there once. Rules: O1, O7, I26, I28, I30, I41.
 */
import { expect, test } from "bun:test";
import type { ErrorCode } from "../../src/core/error.ts";
import { SyncedError } from "../../src/core/error.ts";
import { type NodeId, ROOT_ID } from "../../src/core/identifier.ts";
import type { Group } from "../../src/core/op.ts";
import { createSequencer, type Sequencer } from "../../src/server/sequencer.ts";
import {
  batchOf,
  chunkOf,
  collect,
  countingRandom,
  create,
  DIRECTORY,
  FOLDER,
  hexId,
  modify,
  move,
  remove,
  type ServerWorld,
  serverWorld,
} from "./server-world.ts";

type Moment = "before" | "after";

interface Trial {
  readonly code: ErrorCode;
  readonly moment: Moment;
}

const [DIR, FILE, OTHER] = [1, 2, 3].map((n) => hexId<NodeId>("e", n)) as [NodeId, NodeId, NodeId];

function content(text: string) {
  const { digest, bytes } = chunkOf(text);
  const file = { kind: "file", manifest: digest, depth: 0, sha256: digest } as const;
  return { ...file, size: bytes.length, executable: false, mtimeNs: "0" };
}

/** What one device posts, in order; the same ops each time it has to say them again. */
function story(): readonly { readonly texts: readonly string[]; readonly groups: Group[] }[] {
  return [
    {
      texts: ["one"],
      groups: [[create(DIR, "d", DIRECTORY), create(FILE, "f", content("one"), DIR)]],
    },
    {
      texts: ["two"],
      groups: [[modify(FILE, content("two"), 2)], [create(OTHER, "o", content("two"))]],
    },
    { texts: [], groups: [[move(FILE, "g", 2, ROOT_ID), remove(DIR, 1)], [remove(OTHER, 4)]] },
  ];
}

/** Every asynchronous call of these ports goes through `around`. */
function watched<Port extends object>(port: Port, around: (call: () => unknown) => unknown): Port {
  return new Proxy(port, {
    get(target, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => around(() => Reflect.apply(value, target, args));
    },
  });
}

/** @returns false where the story makes fewer calls. */
async function failAt(call: number, { code, moment }: Trial): Promise<boolean> {
  const world = await serverWorld();
  let count = 0;
  const around = (work: () => unknown): unknown => {
    const isTurn = ++count === call;
    const error = new SyncedError(code, "The disk failed");
    const result = isTurn && moment === "before" ? undefined : work();
    const isPromise = result instanceof Promise || (isTurn && moment === "before");
    if (!isTurn || !isPromise) return result;
    return Promise.resolve(result).then(() => {
      throw error;
    });
  };
  const ports = {
    ...world,
    metadata: watched(world.metadata, around),
    objects: watched(world.objects, around),
    random: countingRandom("c"),
  };
  let sequencer = createSequencer(ports);
  const answered: number[] = [];
  for (const { texts, groups } of story()) {
    const batch = batchOf(await world.cursor(), groups);
    for (let tries = 0; tries < 3; tries += 1) {
      try {
        if (texts.length > 0) await sequencer.putObjects(FOLDER, texts.map(chunkOf));
        const { results } = await sequencer.commit(FOLDER, batch);
        for (const result of results) {
          if (result.status !== "accepted") throw new Error(`Refused: ${result.code}`);
          answered.push(...result.seqs);
        }
        break;
      } catch (error) {
        if (!(error instanceof SyncedError)) throw error;
        // The author goes on as it does after an outage; the server may have been started anew.
        sequencer = createSequencer(ports);
      }
    }
  }
  await expectWhole(world, { call, answered, code, moment });
  await world.close();
  return count >= call;
}

async function expectWhole(
  world: ServerWorld,
  trial: Trial & { call: number; answered: number[] },
) {
  const { sequencer } = world;
  const { events } = await sequencer.events(FOLDER, { after: 0, limit: 100 });
  const kinds = events.map(({ seq, kind, name }) => `${seq} ${kind} ${name}`);
  const wanted = ["1 create d", "2 create f", "3 modify f", "4 create o"];
  wanted.push("5 move g", "6 delete d", "7 delete o");
  expect({ trial, kinds }).toEqual({ trial, kinds: wanted });
  expect({ trial, answered: trial.answered }).toEqual({ trial, answered: [1, 2, 3, 4, 5, 6, 7] });
  const bytes = await readFile(sequencer);
  expect({ trial, bytes }).toEqual({ trial, bytes: "two" });
}

async function readFile(sequencer: Sequencer): Promise<string> {
  const { digest } = chunkOf("two");
  const [object] = await collect(sequencer.readObjects(FOLDER, [digest]));
  return new TextDecoder().decode(object?.bytes);
}

for (const moment of ["before", "after"] as const) {
  for (const code of ["storage_full", "temporarily_unavailable"] as const) {
    test(`a call that fails ${moment} it is done, ${code}: each op once, nothing answered is gone [O1, O7, I26, I28]`, async () => {
      let call = 1;
      while (await failAt(call, { code, moment })) call += 1;
      expect(call).toBeGreaterThan(10);
    }, 60_000);
  }
}
