/** Rows over a line of 100 Mbit/s with 50 ms from one end to the other and back. */
import { lstatSync } from "node:fs";
import type { Carrier } from "./carrier.ts";
import { type CarryRow, carried, MANY_SMALL, ONE_LARGE } from "./carry-rows.ts";
import { shapeOf } from "./identity.ts";
import { type Line, openLine } from "./line.ts";
import type { Row, SampleOptions } from "./row.ts";
import { SyncedSession } from "./synced.ts";
import type { Figures } from "./usage.ts";

const LINE = { roundTripMs: 50, bitsPerSecond: 100e6 };

async function overLine(row: CarryRow, options: SampleOptions): Promise<Figures> {
  let line: Line | undefined;
  let lineSeconds = Number.NaN;
  const carrier: Carrier = {
    ...options.carrier,
    async open(of) {
      const session = await options.carrier.open(of);
      if (!(session instanceof SyncedSession)) throw new Error("Only synced is put on a line");
      line = await openLine(session.url, LINE);
      session.url = line.url;
      return session;
    },
  };
  const fill = (a: string, scale: number) => {
    row.fill(a, scale);
    const files = [...shapeOf(a)].filter(([, what]) => what.startsWith("file"));
    const bytes = files.reduce((sum, [path]) => sum + lstatSync(`${a}/${path}`).size, 0);
    lineSeconds = (bytes * 8) / LINE.bitsPerSecond;
  };
  try {
    const figures = await carried({ ...row, fill }, { ...options, carrier });
    return { ...figures, "the bytes need s": lineSeconds };
  } finally {
    line?.close();
  }
}

export const LINE_ROWS: readonly Row[] = [
  { ...MANY_SMALL, name: "W9a", shortScale: 0.2 },
  { ...ONE_LARGE, name: "W9b", shortScale: 0.05 },
].map((row) => ({
  name: row.name,
  title: `${row.title}, over 100 Mbit/s with 50 ms round trip`,
  shortScale: row.shortScale,
  kinds: ["synced"],
  sample: (options) => overLine(row, options),
}));
