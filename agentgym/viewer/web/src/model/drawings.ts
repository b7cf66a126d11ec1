// What each mode makes of a segment's tokens: a long one has a million values, which are made once.

import type { Column, Columns } from "./api";
import type { Scale } from "./colours";
import { hasMode, type Mode, modeValues, MODES } from "./spans";
import type { Step } from "./types";

export interface Drawing {
  /** The value of each token of the segment; NaN where there is none. */
  values: Float32Array;
  scale: Scale;
}

export class Drawings {
  private readonly made = new Map<string, Drawing & { from: (Column | undefined)[] }>();

  constructor(
    private readonly steps: readonly Step[],
    private readonly segment: number,
    private readonly length: number,
  ) {}

  /** What a mode makes of these columns; the same object while they are the same. */
  of(found: Columns, mode: Mode): Drawing {
    const from = mode.needs.map((name) => found[name]);
    const old = this.made.get(mode.name);
    if (old && from.every((column, at) => column === old.from[at])) return old;
    const values = modeValues(found, mode, this.steps, this.segment, this.length);
    const made = { values, scale: mode.scale(values), from };
    this.made.set(mode.name, made);
    return made;
  }

  /** Makes those of all modes while the page has nothing to do; returns how to stop it. */
  prepare(found: Columns): () => void {
    const left = MODES.filter((mode) => hasMode(found, mode));
    let handle = 0;
    const next = () => {
      const mode = left.shift();
      if (!mode) return;
      this.of(found, mode);
      handle = whenIdle(next);
    };
    handle = whenIdle(next);
    return () => stopIdle(handle);
  }
}

// A browser without these is one of Apple's.
const whenIdle = (act: () => void): number =>
  "requestIdleCallback" in globalThis ? requestIdleCallback(act) : window.setTimeout(act, 50);
const stopIdle = (handle: number): void =>
  "cancelIdleCallback" in globalThis ? cancelIdleCallback(handle) : clearTimeout(handle);
