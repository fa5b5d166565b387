/** Medians of samples, and what is printed of them. */
import { medianOf } from "../timing.ts";
import type { Figures } from "./usage.ts";

export interface Measured {
  readonly row: string;
  readonly title: string;
  readonly scale: number;
  /** By program; synced is the first. */
  readonly samples: ReadonlyMap<string, readonly Figures[]>;
  readonly failures: readonly string[];
}

const COMPARED = ["wall s", "CPU s"] as const;
const PER_LINE = 6;

export function mediansOf(
  samples: ReadonlyMap<string, readonly Figures[]>,
): Readonly<Record<string, Figures>> {
  return Object.fromEntries([...samples].map(([who, figures]) => [who, medians(figures)]));
}

function medians(samples: readonly Figures[]): Figures {
  const names = Object.keys(samples[0] ?? {});
  return Object.fromEntries(
    names.map((name) => [name, medianOf(samples.map((figures) => figures[name] ?? Number.NaN))]),
  );
}

export function report({ row, title, scale, samples, failures }: Measured): void {
  const count = [...samples.values()][0]?.length ?? 0;
  console.log(`\n${row}: ${title} (scale ${scale}, median of ${count})`);
  const { synced = {}, ...peers } = mediansOf(samples);
  for (const [who, figures] of Object.entries({ synced, ...peers })) {
    const parts = Object.entries(figures).map(([name, value]) => `${name} ${rounded(value)}`);
    for (let from = 0; from < parts.length; from += PER_LINE) {
      const line = parts.slice(from, from + PER_LINE).join("; ");
      console.log(`  ${(from === 0 ? who : "").padEnd(11)} ${line}`);
    }
  }
  for (const [who, figures] of Object.entries(peers)) {
    const ratios = COMPARED.map((name) => {
      return `${((synced[name] ?? Number.NaN) / (figures[name] ?? Number.NaN)).toFixed(2)} x its ${name}`;
    });
    console.log(`  against ${who}: ${ratios.join(", ")}`);
  }
  for (const failure of failures) console.log(`  FAILED ${failure}`);
}

function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
