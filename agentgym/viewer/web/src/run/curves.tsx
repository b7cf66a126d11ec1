// Curves of a run, and of others over them: small multiples that share one step.

import { visible } from "../model/ansi";
import "./curves.css";
import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { curves } from "../model/api";
import { count, number } from "../model/format";
import type { Key } from "../model/keys";
import { useLoaded } from "../model/load";
import { Choice, Quiet, Wrong } from "../parts/parts";
import { nearest, Plot, HEIGHT, type Points, pointsOf, smooth, WIDTH } from "../model/plot";
import { look, query, whole } from "../model/state";
import type { Curves } from "../model/types";

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
const SMOOTHING = ["0", "5", "15", "45"] as const;
const SCALES = ["linear", "log"] as const;
const MOST_DOTS = 40;
/** Runs in one picture: as many colours can be told apart. */
export const MOST_RUNS = 6;

interface Props {
  run: string;
  /** What has grown since the curves were asked for. */
  seen: string;
}

export function CurvesPanel({ run, seen }: Props): JSX.Element {
  const runs = [run, ...overlaid(run)];
  const key = `${runs.join(",")} ${seen}`;
  const loaded = useLoaded(key, () => Promise.all(runs.map((each) => curves(each))), true).value;
  const step = useSignal<number | null>(null);
  const wanted = query.value["curve"] ?? "";
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  const found = loaded.value;
  const all = [...new Set(found.flatMap((each) => Object.keys(each.series)))];
  const shown = chosen(all, wanted);
  return (
    <div class="page scroll" tabIndex={0} role="region" aria-label="curves">
      <div class="bar">
        <input
          type="search"
          placeholder="curves whose name contains …"
          aria-label="curves whose name contains"
          value={wanted}
          onInput={(event) => look({ curve: event.currentTarget.value })}
        />
        <span class="quiet">
          {count(shown.length)} of {count(all.length)}
        </span>
        <How />
        {runs.length > 1 && <Runs runs={runs} />}
      </div>
      {shown.length === 0 && (
        <Quiet>
          {all.length
            ? "No curve is called this."
            : "No curve was recorded: only trainings have some. What was played is under groups and episodes."}
        </Quiet>
      )}
      <div class="curves">
        {shown.map((name) => (
          <Curve name={name} runs={runs} found={found} step={step} />
        ))}
      </div>
    </div>
  );
}

/** The other runs that the address names. */
function overlaid(run: string): string[] {
  const others = (query.value["with"] ?? "").split(",").filter((each) => each && each !== run);
  return [...new Set(others)].slice(0, MOST_RUNS - 1);
}

/** Those whose names contain what is wanted; without, the ones to look at first lead. */
export function chosen(names: string[], wanted: string): string[] {
  if (wanted) return names.filter((name) => name.toLowerCase().includes(wanted.toLowerCase()));
  const rank = (name: string) => (FIRST.indexOf(name) + FIRST.length + 1) % (FIRST.length + 1);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

const scaleOf = () => (query.value["scale"] === "log" ? "log" : "linear");
const smoothingOf = () => SMOOTHING.find((each) => each === query.value["smooth"]) ?? SMOOTHING[0];
const setScale = (next: string) => look({ scale: next === "log" ? next : undefined });
const setSmoothing = (next: string) => look({ smooth: next === "0" ? undefined : next });

export const CURVE_KEYS: readonly Key[] = [
  {
    keys: "l",
    what: "linear or logarithmic",
    act: () => setScale(scaleOf() === "log" ? "linear" : "log"),
  },
  {
    keys: "s",
    what: "smooth more, or not",
    act: () => setSmoothing(SMOOTHING[(SMOOTHING.indexOf(smoothingOf()) + 1) % SMOOTHING.length]!),
  },
];

function How(): JSX.Element {
  return (
    <>
      <Choice label="scale" options={SCALES} value={scaleOf()} choose={setScale} />
      <label>
        mean of{" "}
        <select value={smoothingOf()} onChange={(event) => setSmoothing(event.currentTarget.value)}>
          {SMOOTHING.map((each) => (
            <option value={each}>{each === "0" ? "no steps" : `${each} steps`}</option>
          ))}
        </select>
      </label>
    </>
  );
}

function Runs({ runs }: { runs: string[] }): JSX.Element {
  return (
    <span class="curve-runs">
      {runs.map((each, at) => (
        <span>
          <svg width="22" height="10" aria-hidden="true">
            <line class={`line c${at}`} x1="0" x2="22" y1="5" y2="5" />
          </svg>
          {each}
        </span>
      ))}
      <button type="button" onClick={() => look({ with: undefined })}>
        only {runs[0]}
      </button>
    </span>
  );
}

interface CurveProps {
  name: string;
  runs: string[];
  found: Curves[];
  step: Signal<number | null>;
}

function Curve({ name, runs, found, step }: CurveProps): JSX.Element {
  const raw = found.map((each) => pointsOf(each.step, each.series[name] ?? []));
  const drawn = raw.map((each) => smooth(each, Number(smoothingOf())));
  const lost = found.flatMap((each) => each.lost[name] ?? []);
  const all = smoothingOf() === "0" ? drawn : [...raw, ...drawn];
  const plot = new Plot(all, scaleOf() === "log", lost);
  const at = step.value ?? whole("step");
  const near = drawn.map((each) => (at === null ? each.at(-1) : nearest(each, at)));
  const told = near.map((each, place) =>
    each
      ? `${runs.length > 1 ? `${runs[place]} ` : ""}${number(each[1], 4)} at step ${each[0]}`
      : "no value",
  );
  const left = raw.flat().length - raw.flatMap((each) => plot.shown(each)).length;
  return (
    <figure class="curve">
      <figcaption>
        <span class="name" title={name}>
          {visible(name)}
        </span>
        {near.map((each, place) => (
          <span class={`num v${runs.length > 1 ? place : ""}`} title={told[place]}>
            {each ? number(each[1], 4) : "–"}
          </span>
        ))}
        <span class="num quiet at" title="step">
          {near[0] ? `at ${near[0][0]}` : ""}
        </span>
      </figcaption>
      <Picture
        {...{ plot, raw, drawn, lost, step, at: at === null ? null : (near[0]?.[0] ?? null) }}
        label={`${name}: ${told.join(", ")}`}
      />
      <div class="range quiet num">
        <span title="the least and the greatest value">
          {plot.isEmpty ? "–" : `${number(plot.low)} to ${number(plot.high)}`}
        </span>
        {left > 0 && <span>{left} not above 0</span>}
        {lost.length > 0 && <span class="bad">{toldOfLost(lost)}</span>}
        {!plot.isEmpty && <span>{stepsOf(plot)}</span>}
      </div>
    </figure>
  );
}

/** At which steps a number was none, as that of a loss that broke. */
function toldOfLost(steps: readonly number[]): string {
  const first = Math.min(...steps);
  return steps.length === 1
    ? `not finite at step ${first}`
    : `not finite ${steps.length} times, first at ${first}`;
}

function stepsOf({ first, last }: Plot): string {
  return first === last ? `step ${first}` : `steps ${first} to ${last}`;
}

interface PictureProps {
  plot: Plot;
  raw: Points[];
  drawn: Points[];
  /** Steps at which the number was not finite. */
  lost: readonly number[];
  at: number | null;
  step: Signal<number | null>;
  label: string;
}

function Picture({ plot, raw, drawn, lost, at, step, label }: PictureProps): JSX.Element {
  const move = (event: PointerEvent & { currentTarget: SVGSVGElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    step.value = plot.step((event.clientX - box.left) / box.width);
  };
  return (
    <svg
      viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
      preserveAspectRatio="none"
      role="slider"
      aria-label={label}
      aria-valuemin={plot.isEmpty ? 0 : plot.first}
      aria-valuemax={plot.isEmpty ? 0 : plot.last}
      aria-valuenow={at ?? (plot.isEmpty ? 0 : plot.last)}
      tabIndex={0}
      onPointerMove={move}
      onPointerLeave={() => (step.value = null)}
      onBlur={() => (step.value = null)}
      onKeyDown={(event) => walk(event, drawn.flat(), at ?? plot.last, step)}
    >
      {plot.zero !== null && <line class="base" x1={0} x2={WIDTH} y1={plot.zero} y2={plot.zero} />}
      {lost.map((each) => (
        <line class="lost" x1={plot.x(each)} x2={plot.x(each)} y1={HEIGHT - 8} y2={HEIGHT} />
      ))}
      {at !== null && <line class="at" x1={plot.x(at)} x2={plot.x(at)} y1={0} y2={HEIGHT} />}
      {raw.map(
        (each, place) =>
          each !== drawn[place] && (
            <polyline class={`line raw c${place}`} points={plot.line(each)} />
          ),
      )}
      {drawn.map((each, place) => (
        <polyline class={`line c${place}`} points={plot.line(each)} />
      ))}
      {drawn.map(
        (each, place) =>
          each.length < MOST_DOTS &&
          plot.shown(each).map(([x, y]) => {
            const [px, py] = [plot.x(x), plot.y(y)];
            return <line class={`dot c${place}`} x1={px} x2={px} y1={py} y2={py} />;
          }),
      )}
    </svg>
  );
}

/** Moves to the step before or after by the arrows. */
function walk(event: KeyboardEvent, points: Points, at: number, step: Signal<number | null>): void {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
  const steps = [...new Set(points.map(([x]) => x))].sort((a, b) => a - b);
  const next = by > 0 ? steps.find((each) => each > at) : steps.findLast((each) => each < at);
  if (next !== undefined) step.value = next;
  event.preventDefault();
  event.stopPropagation();
}
