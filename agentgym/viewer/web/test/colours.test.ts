import assert from "node:assert/strict";
import { test } from "node:test";
import {
  colourOf,
  downFromZero,
  fromLeast,
  legend,
  symmetric,
  upFromZero,
} from "../src/model/colours";

test("both signs are treated alike, and zero is neither", () => {
  const scale = symmetric([-2, 0.5, null, NaN]);
  for (const size of [0.001, 0.5, 0.51, 1, 1.7, 2, 9]) {
    assert.equal(colourOf(scale, size).slice(1), colourOf(scale, -size).slice(1));
    assert.equal(colourOf(scale, size)[0], "p");
    assert.equal(colourOf(scale, -size)[0], "n");
  }
  assert.equal(colourOf(scale, 0), "zero");
  assert.equal(colourOf(scale, 2), "p4");
  assert.equal(colourOf(scale, 1e-9), "p1");
});

test("a stronger value never has a weaker colour", () => {
  for (const scale of [symmetric([3]), fromLeast([0, 3])]) {
    let last = 0;
    for (let value = 0.01; value < 4; value += 0.01) {
      const level = Number(colourOf(scale, value).slice(1));
      assert.ok(level >= last);
      last = level;
    }
  }
});

test("what is not there has no colour", () => {
  for (const scale of [symmetric([1]), fromLeast([1]), fromLeast([])]) {
    for (const value of [null, undefined, NaN]) assert.equal(colourOf(scale, value), "");
  }
  assert.equal(colourOf(symmetric([]), 0), "zero");
});

test("each step of a legend has the colour that its number has", () => {
  for (const scale of [
    symmetric([-0.3, 0.1]),
    fromLeast([-7, -1]),
    { kind: "classes", names: ["a", "b"] } as const,
  ]) {
    const steps = legend(scale);
    assert.equal(new Set(steps.map((each) => each.colour)).size, steps.length);
    for (const { colour, value } of steps) assert.equal(colour, colourOf(scale, value));
  }
});

test("what is least likely has the strongest colour", () => {
  const scale = downFromZero([-0.1, -4, null]);
  assert.deepEqual(
    [0, -0.1, -2.1, -4].map((value) => colourOf(scale, value)),
    ["s0", "s0", "s4", "s7"],
  );
  assert.equal(colourOf(downFromZero([]), 0), "s0");
});

test("what is oldest has the strongest colour, and what is not old has none of it", () => {
  const scale = upFromZero([2, 1, null]);
  assert.deepEqual(
    [0, 1, 2].map((value) => colourOf(scale, value)),
    ["s0", "s4", "s7"],
  );
  assert.equal(colourOf(upFromZero([0, 0]), 0), "s0");
  assert.equal(colourOf(upFromZero([]), 0), "s0");
});
