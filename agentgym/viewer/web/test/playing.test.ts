import assert from "node:assert/strict";
import { test } from "node:test";
import { advance, around, faster, pageOf, SPEEDS, took, waitFor } from "../src/model/playing";
import { makeStep } from "./make";

const steps = [0.5, 0, 2, 0.25, 1].map((generate_s, index) =>
  makeStep({ index, timings: { generate_s, env_s: 0.5 } }),
);

test("turns are due after what they took, or all after the same time", () => {
  assert.equal(took(steps[2]), 2.5);
  assert.equal(took(undefined), 0);
  assert.equal(waitFor(steps[2], 2, true), 1250);
  assert.equal(waitFor(steps[2], 4, false), waitFor(steps[0], 4, false));
  assert.equal(took(makeStep({ timings: { generate_s: -5, env_s: 1 } })), 1);
});

test("time in small parts comes to the same turn as time at once", () => {
  for (const isReal of [true, false]) {
    for (const speed of SPEEDS) {
      for (const total of [0, 400, 1700, 3300, 9000]) {
        const once = advance(steps, 0, total, speed, isReal);
        let [turn, left] = [0, 0];
        for (let part = 0; part < total / 100; part++)
          ({ turn, left } = advance(steps, turn, left + 100, speed, isReal));
        assert.equal(turn, once.turn);
      }
    }
  }
  assert.deepEqual(advance(steps, -1, 1e9, 1, true).turn, 4);
  assert.deepEqual(advance(steps, 4, 50, 1, true), { turn: 4, left: 50 });
  assert.deepEqual(advance([], 0, 50, 1, true), { turn: 0, left: 50 });
});

test("turns without a time are passed at once, and end", () => {
  const many = Array.from({ length: 10_000 }, (_, index) => makeStep({ index }));
  assert.equal(advance(many, 0, 0, 1, true).turn, 9999);
});

test("speeds end at the slowest and the fastest", () => {
  assert.equal(faster(undefined, 1), 2);
  assert.equal(faster("0.5", -1), 0.5);
  assert.equal(faster("32", 1), 32);
  assert.equal(faster("__proto__", -1), 0.5);
});

test("a page has the turn on it, is full, and stays while it has the turn", () => {
  for (const [count, size] of [
    [1, 40],
    [40, 40],
    [41, 40],
    [10_000, 33],
  ] as const) {
    let turns = 0;
    let before = "";
    for (let turn = 0; turn < count; turn++) {
      const [first, stop] = pageOf(turn, count, size);
      assert.ok(first <= turn && turn < stop && first >= 0 && stop <= count);
      assert.equal(stop - first, Math.min(size, count));
      turns += before !== `${first}` ? 1 : 0;
      before = `${first}`;
    }
    assert.equal(turns, Math.ceil(count / size));
  }
});

test("of many siblings those around the one that is looked at are shown", () => {
  assert.deepEqual(around(40, 64, 24), [28, 52]);
  assert.deepEqual(around(0, 64, 24), [0, 24]);
  assert.deepEqual(around(63, 64, 24), [40, 64]);
  assert.deepEqual(around(1, 3, 24), [0, 3]);
  for (let at = 0; at < 64; at++) {
    const [first, stop] = around(at, 64, 24);
    assert.ok(first <= at && at < stop && stop - first === 24);
  }
});
