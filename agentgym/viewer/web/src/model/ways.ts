// How actions run over the map: past the states that they do not lead to, and beside each other.

export type Point = readonly [number, number];

/** A state on the map; its numbers stand in it and under it. */
export interface Spot {
  at: Point;
  radius: number;
}

/** From one spot to another one, by their numbers. */
export interface Way {
  from: number;
  to: number;
}

const LANE = 12; // pixels between two lanes
const ABOVE = 5; // over a spot, and what its numbers take under it
const BELOW = 26;
const TURN = 54; // sideways, for a way that leads back
const WIDEST = 110; // less than from layer to layer
const FARTHEST = 16; // lanes beyond both ends

export interface Drawn {
  /** Of each way, as SVG writes it. */
  paths: string[];
  /** Where the lowest lane is that is used. */
  bottom: number;
}

/** Draws ways from spot to spot. Those that skip a layer, or lead back, run in a lane. */
export function drawWays(ways: readonly Way[], spots: readonly Spot[]): Drawn {
  const lanes = new Lanes(spots);
  const paths = new Array<string>(ways.length);
  const twins = new Map<string, number>();
  const length = ({ from, to }: Way) => Math.abs(spots[to]!.at[0] - spots[from]!.at[0]);
  const order = [...ways.keys()].sort((a, b) => length(ways[a]!) - length(ways[b]!) || a - b);
  for (const index of order) {
    const { from, to } = ways[index]!;
    const twin = twins.get(`${from} ${to}`) ?? 0;
    twins.set(`${from} ${to}`, twin + 1);
    paths[index] = path(spots[from]!, spots[to]!, twin, lanes);
  }
  return { paths, bottom: lanes.bottom };
}

/** `twin` counts the ways before it that have the same ends. */
function path({ at: start, radius }: Spot, { at: stop }: Spot, twin: number, lanes: Lanes): string {
  const [x1, y1] = start;
  const [x2, y2] = stop;
  if (x1 === x2 && y1 === y2) return loop(start, radius + 14 + 7 * twin);
  if (x1 === x2) return bow(start, stop, 12 * twin);
  const between = lanes.between(x1, x2);
  if (x2 > x1 && between.length === 0) {
    const middle = (x1 + x2) / 2;
    const aside = (twin % 2 ? -1 : 1) * Math.ceil(twin / 2) * 16;
    return `M${x1} ${y1} C${middle} ${y1 + aside} ${middle} ${y2 + aside} ${x2} ${y2}`;
  }
  return x2 > x1 ? along(start, stop, between, lanes) : back(start, stop, lanes);
}

/** Over a spot, and to it again. */
function loop([x, y]: Point, height: number): string {
  const top = y - height / 0.75;
  return `M${x} ${y} C${x + 34} ${top} ${x - 34} ${top} ${x} ${y}`;
}

/** Within a layer: down on the right of what is between, up on the left of it. */
function bow([x, y1]: Point, [, y2]: Point, aside: number): string {
  const wide = Math.min(WIDEST, 30 + 0.2 * Math.abs(y2 - y1) + aside);
  const side = x + (y2 > y1 ? wide : -wide);
  return `M${x} ${y1} C${side} ${y1} ${side} ${y2} ${x} ${y2}`;
}

/** To a later layer, in a lane past the spots of those between. */
function along([x1, y1]: Point, [x2, y2]: Point, between: readonly number[], lanes: Lanes): string {
  const y = lanes.take(between, y1, y2);
  const [first, last] = [between[0]!, between.at(-1)!];
  const out = (x1 + first) / 2;
  const into = (last + x2) / 2;
  return (
    `M${x1} ${y1} C${out} ${y1} ${out} ${y} ${first} ${y} ` +
    `L${last} ${y} C${into} ${y} ${into} ${y2} ${x2} ${y2}`
  );
}

/** To an earlier layer: out on the right, back in a lane, and in from the left. */
function back([x1, y1]: Point, [x2, y2]: Point, lanes: Lanes): string {
  const y = lanes.take([x2, ...lanes.between(x2, x1), x1], y1, y2);
  return (
    `M${x1} ${y1} C${x1 + TURN} ${y1} ${x1 + TURN} ${y} ${x1} ${y} ` +
    `L${x2} ${y} C${x2 - TURN} ${y} ${x2 - TURN} ${y2} ${x2} ${y2}`
  );
}

/** Lines from left to right at equal distances: how many spots and ways are in each, by layer. */
class Lanes {
  private readonly layers: number[];
  private readonly spots: Counts;
  private readonly ways: Counts;
  bottom = 0;

  constructor(spots: readonly Spot[]) {
    this.layers = [...new Set(spots.map(({ at }) => at[0]))].sort((a, b) => a - b);
    this.spots = new Counts();
    this.ways = new Counts();
    for (const { at, radius } of spots) {
      const stop = Math.ceil((at[1] + radius + BELOW) / LANE);
      for (let lane = Math.floor((at[1] - radius - ABOVE) / LANE) + 1; lane < stop; lane++)
        this.spots.add(at[0], lane);
    }
  }

  /** The layers between two places, from the left. */
  between(x1: number, x2: number): number[] {
    return this.layers.filter((x) => x > x1 && x < x2);
  }

  /** Takes the lane with the fewest spots and ways in it, and of these the nearest to both ends. */
  take(layers: readonly number[], y1: number, y2: number): number {
    const first = Math.max(1, Math.floor(Math.min(y1, y2) / LANE) - FARTHEST);
    const stop = Math.ceil(Math.max(y1, y2) / LANE) + FARTHEST;
    let [best, least] = [first, Infinity];
    for (let lane = first; lane < stop; lane++) {
      const far = Math.abs(lane * LANE - y1) + Math.abs(lane * LANE - y2);
      if (far >= least) continue;
      const cost = far + 400 * this.spots.sum(layers, lane) + 100 * this.ways.most(layers, lane);
      if (cost < least) [best, least] = [lane, cost];
    }
    for (const x of layers) this.ways.add(x, best);
    this.bottom = Math.max(this.bottom, best * LANE);
    return best * LANE;
  }
}

/** Counts by layer and lane. */
class Counts {
  private readonly known = new Map<number, Map<number, number>>();

  add(x: number, lane: number): void {
    const layer = this.known.get(x) ?? new Map<number, number>();
    this.known.set(x, layer.set(lane, (layer.get(lane) ?? 0) + 1));
  }

  sum(layers: readonly number[], lane: number): number {
    return layers.reduce((all, x) => all + (this.known.get(x)?.get(lane) ?? 0), 0);
  }

  most(layers: readonly number[], lane: number): number {
    return layers.reduce((most, x) => Math.max(most, this.known.get(x)?.get(lane) ?? 0), 0);
  }
}
