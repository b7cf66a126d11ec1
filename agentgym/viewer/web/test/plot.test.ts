import assert from "node:assert/strict";
import { test } from "node:test";
import { HEIGHT, nearest, Plot, pointsOf, smooth, WIDTH } from "../src/model/plot";

test("values that are not there are no points", () => {
  assert.deepEqual(pointsOf([1, 2, 3], [0.5, null, 2]), [
    [1, 0.5],
    [3, 2],
  ]);
});

test("smoothing keeps straight lines, their steps and their ends", () => {
  const line = pointsOf([1, 2, 3, 4, 5, 6], [0, 2, 4, 6, 8, 10]);
  assert.deepEqual(smooth(line, 5), line);
  assert.equal(smooth(line, 0), line);
  const peak = pointsOf([1, 2, 3], [0, 3, 0]);
  assert.deepEqual(smooth(peak, 3), [
    [1, 0],
    [2, 1],
    [3, 0],
  ]);
});

test("a logarithmic axis has equal room for equal factors, and none for what is not above 0", () => {
  const points = pointsOf([0, 1, 2, 3], [0.1, 1, 10, -1]);
  const plot = new Plot([points], true);
  assert.ok(Math.abs(plot.y(0.1) - plot.y(1) - (plot.y(1) - plot.y(10))) < 1e-9);
  assert.equal(plot.shown(points).length, 3);
  assert.equal(plot.line(points).split(" ").length, 3);
  assert.equal(plot.zero, null);
});

test("all curves share the axes of a picture, and stay in it", () => {
  const curves = [pointsOf([0, 10], [0, 1]), pointsOf([5, 20], [-4, 2])];
  const plot = new Plot(curves);
  assert.deepEqual([plot.low, plot.high, plot.first, plot.last], [-4, 2, 0, 20]);
  for (const [x, y] of curves.flat()) {
    assert.ok(plot.x(x) >= 0 && plot.x(x) <= WIDTH && plot.y(y) >= 0 && plot.y(y) <= HEIGHT);
    assert.ok(Math.abs(plot.step(plot.x(x) / WIDTH) - x) < 1e-9);
  }
});

test("the point of the nearest step is found", () => {
  assert.deepEqual(nearest(pointsOf([1, 4, 9], [1, 2, 3]), 6), [4, 2]);
  assert.equal(nearest([], 1), undefined);
});

test("an axis has the steps at which a number was not finite, too", () => {
  const plot = new Plot([pointsOf([1, 2], [0.5, 0.25])], false, [3, 9]);
  assert.deepEqual([plot.first, plot.last, plot.low, plot.high], [1, 9, 0.25, 0.5]);
  const broken = new Plot([[]], false, [4, 6]);
  assert.ok(broken.isEmpty);
  assert.ok(broken.x(4) < broken.x(6));
});
