/** A chart of what happened when: a bar for each stretch of time, and a line where the slider stands. */
import { useEffect, useRef, useState } from "preact/hooks";
import type uPlot from "uplot";
import { activity, position, seqAtTime, timeAtSeq, timeRange, zoom } from "../model/moment.ts";
import { tickText } from "../model/words.ts";

const HEIGHT = 64;

/** Drawn one over the other: each hides the lower part of the one before. */
const SERIES: readonly (readonly [string, string])[] = [
  ["made", "--added"],
  ["changed", "--accent"],
  ["moved", "--warn"],
  ["deleted", "--danger"],
];

export function Plot() {
  const element = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<uPlot | undefined>(undefined);
  const { value: shown } = activity;
  const { value: seq } = position;
  useEffect(() => {
    const { current: place } = element;
    if (place === null) return;
    let end: (() => void) | "early" | undefined;
    // Without its bars the slider works as well.
    void loadChart().then(
      (Chart) => {
        if (end === "early") return;
        const colors = new Colors(place);
        const made = new Chart(optionsFor(place, Chart, colors), [[]], place);
        end = keepFitting(made, place, colors);
        setChart(made);
      },
      () => undefined,
    );
    return () => {
      if (typeof end === "function") end();
      end = "early";
    };
  }, []);
  useEffect(() => {
    const times = shown.buckets.map(([start]) => (start + shown.width / 2) / 1000);
    // Stacked from below: deleted, moved, changed, made.
    const stacked = SERIES.map((_, index) =>
      shown.buckets.map((bucket) => {
        const counts = [bucket[3], bucket[4], bucket[5], bucket[6]];
        return counts.slice(index).reduce((sum, count) => sum + count, 0);
      }),
    );
    chart?.setData([times, ...stacked], true);
  }, [chart, shown]);
  useEffect(() => chart?.redraw(false), [chart, seq]);
  return <div class="plot" ref={element} aria-hidden="true" />;
}

/** The library is a file of its own: what it does as it starts would hold up the first rows. */
async function loadChart(): Promise<typeof uPlot> {
  const { Chart }: { readonly Chart: typeof uPlot } = await import(
    document.body.dataset["chart"] ?? ""
  );
  return Chart;
}

/** @returns what ends it. */
function keepFitting(chart: uPlot, place: HTMLElement, colors: Colors): () => void {
  const observer = new ResizeObserver(() => {
    if (place.clientWidth > 0) chart.setSize({ width: place.clientWidth, height: HEIGHT });
  });
  observer.observe(place);
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  const redraw = () => {
    colors.read();
    chart.redraw(false);
  };
  scheme.addEventListener("change", redraw);
  return () => {
    observer.disconnect();
    scheme.removeEventListener("change", redraw);
    chart.destroy();
  };
}

/** To read one lays out all that has changed, so they are kept while the slider moves. */
class Colors {
  readonly #place: HTMLElement;
  #values: ReadonlyMap<string, string> = new Map();

  constructor(place: HTMLElement) {
    this.#place = place;
    this.read();
  }

  read(): void {
    const style = getComputedStyle(this.#place);
    const names = ["--faint", "--text", ...SERIES.map(([, name]) => name)];
    this.#values = new Map(names.map((name) => [name, style.getPropertyValue(name)]));
  }

  of(name: string): string {
    return this.#values.get(name) ?? "";
  }
}

function optionsFor(place: HTMLElement, { paths }: typeof uPlot, colors: Colors): uPlot.Options {
  return {
    width: Math.max(1, place.clientWidth),
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: true, y: false, setScale: false } },
    scales: {
      x: { time: true, range: () => inSeconds(timeRange.value) },
      // So that one change is seen beside ten thousand.
      y: { distr: 4, asinh: 1, range: (_, __, most) => [0, Math.max(1, most)] },
    },
    axes: [
      {
        stroke: () => colors.of("--faint"),
        grid: { show: false },
        ticks: { show: false },
        size: 20,
        gap: 2,
        font: "11px system-ui, sans-serif",
        space: 100,
        values: (_, splits) => splits.map((time) => tickText(time * 1000, timeRange.value)),
      },
      { show: false },
    ],
    padding: [4, 8, 0, 8],
    series: [
      {},
      ...SERIES.map(([label, name]) => ({
        label,
        fill: () => colors.of(name),
        width: 0,
        points: { show: false },
        ...(paths.bars === undefined ? {} : { paths: paths.bars({ size: [1, 10, 2] }) }),
      })),
    ],
    hooks: {
      draw: [(chart) => drawPosition(chart, colors.of("--text"))],
      setSelect: [zoomIn],
    },
  };
}

function inSeconds([from, to]: readonly [number, number]): [number, number] {
  return [from / 1000, to / 1000];
}

function drawPosition(chart: uPlot, color: string): void {
  const x = chart.valToPos(timeAtSeq(position.value) / 1000, "x", true);
  const { ctx, bbox } = chart;
  ctx.save();
  ctx.fillStyle = color;
  ctx.fillRect(Math.round(x) - 1, bbox.top, 2, bbox.height);
  ctx.restore();
}

/** A stretch that was drawn across is shown alone. */
function zoomIn(chart: uPlot): void {
  const { left, width } = chart.select;
  if (width < 8) return;
  const [from, to] = [left, left + width].map((x) => seqAtTime(chart.posToVal(x, "x") * 1000));
  chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (from !== undefined && to !== undefined && to > from) zoom.value = [Math.max(1, from), to];
}
