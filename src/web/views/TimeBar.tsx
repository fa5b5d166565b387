/** The bar above the list that moves it through time: chart, slider, steps, and what they show. */
import {
  ChevronFirst,
  ChevronLast,
  ChevronLeft,
  ChevronRight,
  GitCompare,
  RotateCcw,
  X,
  ZoomOut,
} from "lucide";
import { head } from "../model/live.ts";
import {
  change,
  closeTime,
  moveTo,
  position,
  seqAtTime,
  step,
  timeAtSeq,
  timeRange,
  toNow,
  zoom,
} from "../model/moment.ts";
import { restoreAt } from "../model/plans.ts";
import { at, go, route } from "../model/route.ts";
import { saysOf } from "../model/sayings.ts";
import { exactTimeText, numberText } from "../model/words.ts";
import { Icon } from "../parts/Icon.tsx";
import { Path } from "../parts/Name.tsx";
import { Plot } from "../parts/Plot.tsx";

export function TimeBar() {
  const { value: seq } = position;
  const { value: last } = head;
  const [from, to] = timeRange.value;
  const { value: row } = change;
  const isPast = at.value !== undefined || seq !== last;
  const when = row === undefined ? "Before the first change" : exactTimeText(row.time);
  const said = row === undefined ? "" : `${saysOf(row)} ${row.path}`;
  return (
    <section class="time" aria-label="Time">
      <header>
        <div class="moment" role="status">
          <strong>{when}</strong>
          <span class="faint">
            event {numberText(seq)} of {numberText(last)}
          </span>
          {row === undefined ? null : (
            <span class="said">
              {saysOf(row)} <Path path={row.path === "" ? (route.value.folder ?? "") : row.path} />
            </span>
          )}
        </div>
        <span class="buttons">
          <StepButton label="First" icon={ChevronFirst} onClick={() => moveTo(0)} />
          <StepButton
            label="The change before ([)"
            icon={ChevronLeft}
            onClick={() => void step(-1)}
          />
          <StepButton
            label="The change after (])"
            icon={ChevronRight}
            onClick={() => void step(1)}
          />
          <StepButton label="Now (0)" icon={ChevronLast} onClick={toNow} />
          {zoom.value === undefined ? null : (
            <StepButton
              label="All of the time"
              icon={ZoomOut}
              onClick={() => {
                zoom.value = undefined;
              }}
            />
          )}
          <StepButton label="Close (t)" icon={X} onClick={closeTime} />
        </span>
      </header>
      <Plot />
      <input
        id="moment"
        class="slider"
        type="range"
        min={from}
        max={to}
        step="any"
        value={timeAtSeq(seq)}
        aria-label="Moment"
        aria-valuetext={`${when}, event ${numberText(seq)}, ${said}`}
        onInput={(event) => moveTo(seqAtTime(Number(event.currentTarget.value)))}
        onKeyDown={(event) => {
          const direction = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
          if (direction === undefined) return;
          event.preventDefault();
          void step(direction < 0 ? -1 : 1);
        }}
      />
      {isPast ? (
        <p class="past">
          <span>You look at the past: nothing can be changed here.</span>
          <span class="buttons">
            <button type="button" onClick={() => go({ from: seq, at: undefined })}>
              <Icon of={GitCompare} /> Compare with now
            </button>
            <button type="button" onClick={() => restoreAt(route.value.path, seq)}>
              <Icon of={RotateCcw} /> Restore this folder…
            </button>
            <button type="button" class="primary" onClick={toNow}>
              Now
            </button>
          </span>
        </p>
      ) : null}
    </section>
  );
}

interface StepButtonProps {
  readonly label: string;
  readonly icon: Parameters<typeof Icon>[0]["of"];
  readonly onClick: () => void;
}

function StepButton({ label, icon, onClick }: StepButtonProps) {
  return (
    <button type="button" class="icon-only" aria-label={label} title={label} onClick={onClick}>
      <Icon of={icon} />
    </button>
  );
}
