// The tokens of a segment: which step sampled each, where its numbers are, what they mean.

import type { Column, Columns } from "./api";
import { downFromZero, fromLeast, type Scale, symmetric, upFromZero } from "./colours";
import type { Step } from "./types";

/** Tokens [first, stop) of a segment that belong together. */
export interface TokenRow {
  first: number;
  stop: number;
  /** The step that sampled them; null: nobody did. */
  step: Step | null;
  /** Whether they are the first of their step, or of what stands between steps. */
  head: boolean;
}

export const CHUNK = 200;

/** The tokens of a segment in rows of at most `chunk`, cut where sampling begins and ends. */
export function tokenRows(
  steps: readonly Step[],
  segment: number,
  length: number,
  chunk = CHUNK,
): TokenRow[] {
  const rows: TokenRow[] = [];
  let at = 0;
  const add = (stop: number, step: Step | null) => {
    for (const start = at; at < stop; at = Math.min(stop, at + chunk)) {
      rows.push({ first: at, stop: Math.min(stop, at + chunk), step, head: at === start });
    }
  };
  for (const step of sampledIn(steps, segment)) {
    const [first, stop] = step.tokens!;
    add(Math.min(first, length), null);
    add(Math.min(stop, length), step);
  }
  add(length, null);
  return rows;
}

/** Where the sampled tokens of each step begin among all of the episode. */
export function sampledStarts(steps: readonly Step[]): number[] {
  let sum = 0;
  return steps.map(({ tokens }) => {
    const start = sum;
    sum += tokens ? tokens[1] - tokens[0] : 0;
    return start;
  });
}

/** The number of a token among the sampled ones of the episode. */
export function sampledPlace(step: Step, place: number, starts: readonly number[]): number {
  return starts[step.index]! + place - step.tokens![0];
}

/** The policy version that sampled a token of a step; null: not known. */
export function versionAt(step: Step, token: number): number | null {
  let found: number | null = null;
  for (const [from, version] of step.versions) if (from <= token) found = version;
  return found;
}

export interface Mode {
  name: string;
  /** Columns that it needs. */
  needs: readonly string[];
  /** The value of a sampled token: its place in the segment, and among the sampled ones. */
  value: (columns: Columns, place: number, sampled: number) => number | null;
  /** Whether its values are a column as it is, by place in the segment or among the sampled ones. */
  copies?: "place" | "sampled";
  scale: (values: Iterable<number | null>) => Scale;
  /** What its numbers are. */
  what: string;
}

export const CAUSES = ["trained", "advantage 0", "not in the batch", "clipped", "dropped"];

const of = (name: string) => (columns: Columns, _: number, sampled: number) =>
  at(columns[name], sampled);

export const MODES: readonly Mode[] = [
  { name: "plain", needs: [], value: () => null, scale: symmetric, what: "no colours" },
  {
    name: "advantage",
    needs: ["advantage"],
    value: of("advantage"),
    copies: "sampled",
    scale: symmetric,
    what: "advantage that was trained on",
  },
  {
    name: "weight",
    needs: ["weight"],
    value: of("weight"),
    copies: "sampled",
    scale: symmetric,
    what: "weight of the token in the loss",
  },
  {
    name: "cause",
    needs: ["cause"],
    value: of("cause"),
    copies: "sampled",
    scale: () => ({ kind: "classes", names: CAUSES }),
    what: "why it had no weight",
  },
  {
    name: "logprob",
    needs: ["logprobs"],
    value: (columns, place) => at(columns["logprobs"], place),
    copies: "place",
    scale: downFromZero,
    what: "log-probability when it was sampled",
  },
  {
    name: "ratio",
    needs: ["logprobs", "trainer_logprobs"],
    value: logRatio,
    scale: symmetric,
    what: "log of the trainer's probability over the engine's",
  },
  {
    name: "entropy",
    needs: ["entropy"],
    value: of("entropy"),
    copies: "sampled",
    scale: fromLeast,
    what: "entropy of the policy",
  },
  {
    name: "value",
    needs: ["value"],
    value: of("value"),
    copies: "sampled",
    scale: fromLeast,
    what: "estimated value",
  },
  {
    name: "reward",
    needs: ["reward"],
    value: of("reward"),
    copies: "sampled",
    scale: symmetric,
    what: "reward of the step",
  },
  {
    name: "staleness",
    needs: ["staleness"],
    value: of("staleness"),
    copies: "sampled",
    scale: upFromZero,
    what: "versions from the policy that sampled it to the one that was trained on it",
  },
];

/** Every column that a mode needs. */
export const COLUMNS: readonly string[] = [
  "token_ids",
  "sampled",
  ...new Set(MODES.flatMap((mode) => mode.needs)),
];

export function hasMode(columns: Columns, mode: Mode): boolean {
  return mode.needs.every((name) => (columns[name]?.length ?? 0) > 0);
}

/** The value of each token of a segment of `length` tokens; NaN of those that nobody sampled. */
export function modeValues(
  columns: Columns,
  mode: Mode,
  steps: readonly Step[],
  segment: number,
  length: number,
): Float32Array {
  const values = new Float32Array(length).fill(NaN);
  const starts = sampledStarts(steps);
  for (const step of sampledIn(steps, segment)) {
    const [first, end] = step.tokens!;
    const stop = Math.min(end, length);
    const sampled = sampledPlace(step, first, starts);
    if (mode.copies) {
      const from = mode.copies === "place" ? first : sampled;
      values.set(columns[mode.needs[0]!]!.subarray(from, from + stop - first), first);
      continue;
    }
    for (let place = first; place < stop; place++) {
      values[place] = mode.value(columns, place, sampled + place - first) ?? NaN;
    }
  }
  return values;
}

/** Values in `lines` parts of the same length, of each the one that is farthest from 0. */
export function strongest(values: ArrayLike<number | null>, lines: number): (number | null)[] {
  const found: (number | null)[] = [];
  for (let line = 0; line < lines; line++) {
    const first = Math.floor((line * values.length) / lines);
    const stop = Math.max(first + 1, Math.floor(((line + 1) * values.length) / lines));
    found.push(farthest(values, first, Math.min(stop, values.length)));
  }
  return found;
}

function farthest(values: ArrayLike<number | null>, first: number, stop: number): number | null {
  let best: number | null = null;
  for (let place = first; place < stop; place++) {
    const value = values[place]!;
    if (value === null || Number.isNaN(value)) continue;
    if (best === null || Math.abs(value) > Math.abs(best)) best = value;
  }
  return best;
}

/** A number of a column; null where there is none. */
export function at(column: Column | undefined, index: number): number | null {
  const value = column?.[index];
  return value === undefined || Number.isNaN(value) ? null : value;
}

function logRatio(columns: Columns, place: number, sampled: number): number | null {
  const [trainer, engine] = [
    at(columns["trainer_logprobs"], sampled),
    at(columns["logprobs"], place),
  ];
  return trainer === null || engine === null ? null : trainer - engine;
}

function sampledIn(steps: readonly Step[], segment: number): Step[] {
  return steps
    .filter((step) => step.segment === segment && step.tokens)
    .sort((a, b) => a.tokens![0] - b.tokens![0]);
}
