/** A row of the table: how one sample of it is made. */
import type { Carrier } from "./carrier.ts";
import { SyncedSession } from "./synced.ts";
import type { Figures } from "./usage.ts";

export interface SampleOptions {
  readonly carrier: Carrier;
  /** An empty directory, removed afterwards. */
  readonly root: string;
  /** 1 is the full size. */
  readonly scale: number;
}

export interface Row {
  readonly name: string;
  readonly title: string;
  /** The scale of `bun run bench` without `--scale`. */
  readonly shortScale: number;
  /** Which programs can do it. */
  readonly kinds: readonly Carrier["kind"][];
  /** Why it cannot run on this machine. */
  readonly whyNot?: string;
  /** @throws {Error} if B is not as A is in the end */
  sample(options: SampleOptions): Promise<Figures>;
}

/** At least a few of whatever is counted. */
export function scaled(count: number, scale: number): number {
  return Math.max(10, Math.round(count * scale));
}

/** For rows that ask for more than all programs can do. */
export async function openSynced({ carrier, root }: SampleOptions): Promise<SyncedSession> {
  const session = await carrier.open({ root, sendsParts: false });
  if (session instanceof SyncedSession) return session;
  await session.close();
  throw new Error(`${carrier.name} cannot do this`);
}
