// Curves as points in a picture: scales, smoothing, the point at a step.

export const WIDTH = 300;
export const HEIGHT = 72;

export type Point = readonly [step: number, value: number];
export type Points = readonly Point[];

/** The values that are there, with their steps. */
export function pointsOf(
  steps: readonly number[],
  values: readonly (number | null | undefined)[],
): Points {
  return steps.flatMap((at, index) => {
    const value = values[index];
    return value === null || value === undefined ? [] : [[at, value] as const];
  });
}

/** Each value as the mean of up to `width` values around it; of fewer at the ends, the same on both sides. */
export function smooth(points: Points, width: number): Points {
  const reach = Math.floor((width - 1) / 2);
  if (reach < 1) return points;
  return points.map(([step], at) => {
    const own = Math.min(reach, at, points.length - 1 - at);
    const around = points.slice(at - own, at + own + 1);
    return [step, around.reduce((sum, [, value]) => sum + value, 0) / around.length] as const;
  });
}

/** The point whose step is nearest. */
export function nearest(points: Points, step: number): Point | undefined {
  let best = points[0];
  for (const point of points)
    if (best && Math.abs(point[0] - step) < Math.abs(best[0] - step)) best = point;
  return best;
}

/** Where points are in the picture, on axes that all curves in it share. */
export class Plot {
  readonly low: number;
  readonly high: number;
  readonly first: number;
  readonly last: number;

  /** On a logarithmic axis only values above 0 have a place; `also` are steps that the axis has. */
  constructor(
    curves: readonly Points[],
    private readonly log = false,
    also: readonly number[] = [],
  ) {
    const all = curves.flat().filter(([, value]) => !log || value > 0);
    this.low = all.reduce((least, [, y]) => Math.min(least, y), Infinity);
    this.high = all.reduce((most, [, y]) => Math.max(most, y), -Infinity);
    const steps = [...all.map(([x]) => x), ...also];
    this.first = steps.reduce((least, x) => Math.min(least, x), Infinity);
    this.last = steps.reduce((most, x) => Math.max(most, x), -Infinity);
  }

  x(step: number): number {
    return this.last > this.first
      ? 3 + ((step - this.first) / (this.last - this.first)) * (WIDTH - 6)
      : WIDTH / 2;
  }

  y(value: number): number {
    if (!(this.high > this.low)) return HEIGHT / 2;
    const [low, high] = [this.along(this.low), this.along(this.high)];
    return HEIGHT - 4 - ((this.along(value) - low) / (high - low)) * (HEIGHT - 8);
  }

  get isEmpty(): boolean {
    return this.low > this.high;
  }

  /** The step at a share of the width. */
  step(share: number): number {
    return this.first + ((share * WIDTH - 3) / (WIDTH - 6)) * (this.last - this.first);
  }

  /** The height of 0, where it is between the values. */
  get zero(): number | null {
    return !this.log && this.low < 0 && this.high > 0 ? this.y(0) : null;
  }

  /** The points that have a place. */
  shown(points: Points): Points {
    return this.log ? points.filter(([, value]) => value > 0) : points;
  }

  line(points: Points): string {
    return this.shown(points)
      .map(([x, y]) => `${this.x(x).toFixed(1)},${this.y(y).toFixed(1)}`)
      .join(" ");
  }

  private along(value: number): number {
    return this.log ? Math.log10(value) : value;
  }
}
