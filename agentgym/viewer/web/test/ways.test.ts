import assert from "node:assert/strict";
import { test } from "node:test";
import { drawWays, type Spot, type Way } from "../src/model/ways";

const ACROSS = 124;
const DOWN = 92;
const spot = (layer: number, row: number, radius = 8): Spot => ({
  at: [48 + layer * ACROSS, 48 + row * DOWN],
  radius,
});

/** A number below `most` that looks like chance. */
function chance(seed: number): (most: number) => number {
  let state = seed * 2654435761 + 12345;
  return (most) => (state = (state * 1103515245 + 12345) % 2147483648) % most;
}

/** Some layers with some spots each, and ways between them. */
function randomMap(seed: number): [Spot[], Way[]] {
  const next = chance(seed);
  const spots = Array.from({ length: 3 + next(6) }, (_, layer) =>
    Array.from({ length: 1 + next(5) }, (_, row) => spot(layer, row + next(2) / 2, 7 + next(12))),
  ).flat();
  const ways = Array.from({ length: 40 }, () => ({
    from: next(spots.length),
    to: next(spots.length),
  }));
  return [spots, ways];
}

const MAPS = Array.from({ length: 60 }, (_, seed) => randomMap(seed));
const numbers = (path: string) => path.match(/-?[\d.]+/g)!.map(Number);

/** Points of the straight part of a path; empty where it has none. */
function straight(path: string): [number, number, number] | null {
  const found = /([\d.]+) ([\d.]+) L([\d.]+)/.exec(path)?.slice(1).map(Number);
  return found ? [found[0]!, found[2]!, found[1]!] : null;
}

test("a way begins and ends at its spots", () => {
  for (const [spots, ways] of MAPS) {
    const { paths } = drawWays(ways, spots);
    for (const [index, { from, to }] of ways.entries()) {
      const all = numbers(paths[index]!);
      assert.deepEqual(all.slice(0, 2), [...spots[from]!.at]);
      assert.deepEqual(all.slice(-2), [...spots[to]!.at]);
    }
  }
});

test("in its lane a way passes no spot, nor the numbers under one", () => {
  for (const [spots, ways] of MAPS) {
    for (const path of drawWays(ways, spots).paths) {
      const run = straight(path);
      if (!run) continue;
      const [left, right] = [Math.min(run[0], run[1]), Math.max(run[0], run[1])];
      const passed = spots.filter(
        ({ at: [x, y], radius }) =>
          x >= left && x <= right && run[2] > y - radius - 4 && run[2] < y + radius + 24,
      );
      assert.deepEqual(passed, [], path);
    }
  }
});

test("all ways are on the paper", () => {
  for (const [spots, ways] of MAPS) {
    const { paths, bottom } = drawWays(ways, spots);
    for (const run of paths.map(straight)) assert.ok(!run || (run[2] > 0 && run[2] <= bottom));
  }
});

test("what leads to the same place by another action is seen beside it", () => {
  for (const to of [0, 1, 2, 3]) {
    const spots = [spot(1, 0), spot(1, 2), spot(2, 0), spot(4, 0), spot(3, 0)];
    for (const from of [0, 3]) {
      const { paths } = drawWays(
        [1, 2, 3, 4].map(() => ({ from, to })),
        spots,
      );
      assert.equal(new Set(paths).size, 4, `${from} to ${to}`);
    }
  }
});

test("a straight way to the next layer is left as it is", () => {
  const { paths } = drawWays([{ from: 0, to: 1 }], [spot(0, 0), spot(1, 0)]);
  assert.deepEqual([...new Set(numbers(paths[0]!).filter((_, at) => at % 2))], [48]);
});

test("a thousand states are drawn at once", () => {
  const spots = Array.from({ length: 1000 }, (_, at) => spot(Math.floor(at / 20), at % 20));
  const ways = Array.from({ length: 5000 }, (_, at) => ({
    from: (at * 7919) % 1000,
    to: (at * 104_729 + 17) % 1000,
  }));
  const before = process.cpuUsage();
  drawWays(ways, spots);
  assert.ok(process.cpuUsage(before).user < 3e6, "microseconds of this process alone");
});
