// Time while an episode is played: which turn is due, and which turns a screen has room for.

import type { Step } from "./types";

export const SPEEDS = [0.5, 1, 2, 4, 8, 16, 32] as const;

/** The next speed of the table; 1 where a text is none of them. */
export function faster(speed: string | undefined, by: number): number {
  const at = SPEEDS.findIndex((each) => String(each) === speed);
  const from = at < 0 ? SPEEDS.indexOf(1) : at;
  return SPEEDS[Math.max(0, Math.min(SPEEDS.length - 1, from + by))]!;
}

/** Milliseconds between two turns at speed 1, where waiting is skipped. */
export const PACE = 1000;

/** Milliseconds until a turn is there: what it took, or the same for all. */
export function waitFor(step: Step | undefined, speed: number, isReal: boolean): number {
  if (!isReal) return PACE / speed;
  return (1000 * took(step)) / speed;
}

/** Seconds that a step took to be sampled and answered. */
export function took(step: Step | undefined): number {
  const { generate_s: generate, env_s: env } = step?.timings ?? {};
  return Math.max(0, generate ?? 0) + Math.max(0, env ?? 0);
}

/**
 * The turn after so many milliseconds, and how many of them are left over for the next one. Turns
 * that took no time at all are passed at once.
 */
export function advance(
  steps: readonly Step[],
  from: number,
  elapsed: number,
  speed: number,
  isReal: boolean,
): { turn: number; left: number } {
  let [turn, left] = [from, elapsed];
  while (turn < steps.length - 1) {
    const wait = waitFor(steps[turn + 1], speed, isReal);
    if (wait > left) break;
    left -= wait;
    turn++;
  }
  return { turn, left };
}

/** The items [first, stop) around one, at most so many. */
export function around(at: number, count: number, most: number): [number, number] {
  const first = Math.max(0, Math.min(at - Math.floor(most / 2), count - most));
  return [first, Math.min(count, first + most)];
}

/** The turns [first, stop) of the page that a turn is on; it changes when the turn leaves it. */
export function pageOf(turn: number, count: number, size: number): [number, number] {
  if (count <= size) return [0, count];
  const first = Math.min(Math.floor(turn / size) * size, count - size);
  return [first, first + size];
}
