/** A program that posts ops to one or more servers of the same data, and the proof of each answer. */
import { expect } from "bun:test";
import type { LoggedEvent } from "./lab.ts";

const ROOT = "0".repeat(32);

/** Makes directories, and repeats each op until it is answered. */
export class Poster {
  readonly #folderUrls: () => readonly string[];
  readonly #restMs: number;
  readonly #device = randomId();
  /** By op id, the seq that a server said. */
  readonly answered = new Map<string, number>();
  #isStopped = false;
  #running: Promise<void> | undefined;

  /**
   * @param folderUrls asked before each try; they are used in turn
   * @param restMs after each op
   */
  constructor(folderUrls: () => readonly string[], { restMs = 0 } = {}) {
    this.#folderUrls = folderUrls;
    this.#restMs = restMs;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let count = 0; !this.#isStopped; count += 1) {
      const opId = randomId();
      const node = { node: randomId(), parent: ROOT, name: `made-${this.#device}-${count}` };
      const op = { kind: "create", opId, ...node, content: { kind: "directory" }, base: 0 };
      for (let tries = count; ; tries += 1) {
        const seq = await this.#post(op, tries).catch(() => undefined);
        if (seq !== undefined) {
          this.answered.set(opId, seq);
          break;
        }
        await Bun.sleep(20);
      }
      if (this.#restMs > 0) await Bun.sleep(this.#restMs);
    }
  }

  async #post(op: unknown, tries: number): Promise<number | undefined> {
    const urls = this.#folderUrls();
    const url = urls[tries % urls.length] ?? "";
    const signal = AbortSignal.timeout(20_000);
    const { epoch, head, hash } = await (await fetch(url, { signal })).json();
    const cursor = { epoch, seq: head, hash };
    const batch = { device: this.#device, batch: randomId(), cursor, groups: [[op]] };
    const answer = await fetch(`${url}/ops`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(batch),
      signal,
    });
    if (!answer.ok) return undefined;
    const { results } = await answer.json();
    expect(results[0].status).toBe("accepted");
    return results[0].seqs[0];
  }
}

/** The log has no gap, each op once, and each that was answered where the answer said. */
export async function requireEachOnce(
  folderUrl: string,
  answered: ReadonlyMap<string, number>,
): Promise<void> {
  const { head } = await (await fetch(folderUrl)).json();
  const seen = new Map<string, number[]>();
  let after = 0;
  while (after < head) {
    const page = await (await fetch(`${folderUrl}/events?after=${after}&limit=1000`)).json();
    const events: readonly LoggedEvent[] = page.events;
    for (const { seq, opId } of events) {
      expect(seq).toBe(after + 1);
      after = seq;
      seen.set(opId, [...(seen.get(opId) ?? []), seq]);
    }
  }
  expect([...seen.values()].filter((seqs) => seqs.length > 1)).toEqual([]);
  for (const [opId, seq] of answered) expect(seen.get(opId)).toEqual([seq]);
}

function randomId(): string {
  return crypto.getRandomValues(new Uint8Array(16)).toHex();
}
