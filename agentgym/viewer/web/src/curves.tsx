// Curves of a run: small multiples that share one step.

import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { curves } from "./api";
import { number } from "./format";
import { useLoaded } from "./load";
import { Quiet, Wrong } from "./parts";
import { look, query, whole } from "./state";
import type { Curves } from "./types";

const FIRST = [
  "success",
  "reward",
  "turns",
  "entropy",
  "grad_norm",
  "approx_kl",
  "clip_fraction",
  "logprob_gap",
  "zero_variance_groups",
  "loss",
];
const WIDTH = 300;
const HEIGHT = 72;

export function CurvesPanel({
  run,
  names,
  seen,
}: {
  run: string;
  names: string[];
  seen: number;
}): JSX.Element {
  const loaded = useLoaded(`${run} ${seen} ${names.length}`, () => curves(run), true).value;
  const step = useSignal<number | null>(null);
  const wanted = query.value["curve"] ?? "";
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  const shown = chosen(Object.keys(loaded.value.series), wanted);
  return (
    <div class="page scroll" tabIndex={0} aria-label="curves">
      <div class="bar">
        <input
          type="search"
          placeholder="curves whose name contains …"
          aria-label="curves whose name contains"
          value={wanted}
          onInput={(event) => look({ curve: event.currentTarget.value })}
        />
        <span class="quiet">
          {shown.length} of {names.length}
        </span>
      </div>
      {shown.length === 0 && (
        <Quiet>{names.length ? "No curve is called this." : "No curve was recorded."}</Quiet>
      )}
      <div class="curves">
        {shown.map((name) => (
          <Curve
            name={name}
            steps={loaded.value!.step}
            values={loaded.value!.series[name]!}
            step={step}
          />
        ))}
      </div>
    </div>
  );
}

/** Those whose names contain what is wanted; without, the ones to look at first lead. */
export function chosen(names: string[], wanted: string): string[] {
  if (wanted) return names.filter((name) => name.toLowerCase().includes(wanted.toLowerCase()));
  const rank = (name: string) => (FIRST.indexOf(name) + FIRST.length + 1) % (FIRST.length + 1);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

interface CurveProps {
  name: string;
  steps: number[];
  values: Curves["series"][string];
  step: Signal<number | null>;
}

function Curve({ name, steps, values, step }: CurveProps): JSX.Element {
  const points = steps.flatMap((at, index) =>
    values[index] === null || values[index] === undefined ? [] : [[at, values[index]] as const],
  );
  const plot = new Plot(points);
  const at = step.value ?? whole("step");
  const near = at === null ? points.at(-1) : nearest(points, at);
  const move = (event: PointerEvent & { currentTarget: SVGSVGElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    step.value = plot.step((event.clientX - box.left) / box.width);
  };
  const label = near ? `${name}: ${number(near[1], 4)} at step ${near[0]}` : `${name}: no value`;
  return (
    <figure class="curve">
      <figcaption>
        <span class="name" title={name}>
          {name}
        </span>
        <span class="num">{near ? number(near[1], 4) : "–"}</span>
        <span class="num quiet at">{near ? near[0] : ""}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={label}
        onPointerMove={move}
        onPointerLeave={() => (step.value = null)}
      >
        {plot.zero !== null && (
          <line class="base" x1={0} x2={WIDTH} y1={plot.zero} y2={plot.zero} />
        )}
        {at !== null && near && (
          <line class="at" x1={plot.x(near[0])} x2={plot.x(near[0])} y1={0} y2={HEIGHT} />
        )}
        <polyline class={points.length < 3 ? "line few" : "line"} points={plot.line} />
        {points.length < 40 &&
          points.map(([x, y]) => (
            <line class="dot" x1={plot.x(x)} x2={plot.x(x)} y1={plot.y(y)} y2={plot.y(y)} />
          ))}
      </svg>
      <div class="range quiet num">
        <span>{number(plot.low)}</span>
        <span>{number(plot.high)}</span>
      </div>
    </figure>
  );
}

type Points = readonly (readonly [number, number])[];

/** Where points are in the picture. */
class Plot {
  readonly low: number;
  readonly high: number;
  private readonly first: number;
  private readonly last: number;

  constructor(private readonly points: Points) {
    this.low = points.reduce((least, [, y]) => Math.min(least, y), Infinity);
    this.high = points.reduce((most, [, y]) => Math.max(most, y), -Infinity);
    this.first = points[0]?.[0] ?? 0;
    this.last = points.at(-1)?.[0] ?? 0;
  }

  x(step: number): number {
    return this.last > this.first
      ? 3 + ((step - this.first) / (this.last - this.first)) * (WIDTH - 6)
      : WIDTH / 2;
  }

  y(value: number): number {
    return this.high > this.low
      ? HEIGHT - 4 - ((value - this.low) / (this.high - this.low)) * (HEIGHT - 8)
      : HEIGHT / 2;
  }

  step(share: number): number {
    return this.first + ((share * WIDTH - 3) / (WIDTH - 6)) * (this.last - this.first);
  }

  /** The height of 0, where it is between the values. */
  get zero(): number | null {
    return this.low < 0 && this.high > 0 ? this.y(0) : null;
  }

  get line(): string {
    return this.points.map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`).join(" ");
  }
}

function nearest(points: Points, step: number): readonly [number, number] | undefined {
  let best = points[0];
  for (const point of points)
    if (best && Math.abs(point[0] - step) < Math.abs(best[0] - step)) best = point;
  return best;
}
