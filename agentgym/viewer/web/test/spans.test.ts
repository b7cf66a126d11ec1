import assert from "node:assert/strict";
import { test } from "node:test";
import {
  hasMode,
  MODES,
  modeValues,
  sampledStarts,
  strongest,
  tokenRows,
  versionAt,
} from "../src/model/spans";
import { makeStep } from "./make";

const STEPS = [
  makeStep({
    index: 0,
    segment: 0,
    tokens: [5, 8],
    versions: [
      [0, 3],
      [2, 4],
    ],
  }),
  makeStep({ index: 1 }),
  makeStep({ index: 2, segment: 1, tokens: [10, 14] }),
  makeStep({ index: 3, segment: 0, tokens: [9, 11] }),
];

test("rows cover a segment once, and know who sampled what", () => {
  const rows = tokenRows(STEPS, 0, 12, 2);
  assert.deepEqual(
    rows.map((row) => [row.first, row.stop, row.step?.index ?? null, row.head]),
    [
      [0, 2, null, true],
      [2, 4, null, false],
      [4, 5, null, false],
      [5, 7, 0, true],
      [7, 8, 0, false],
      [8, 9, null, true],
      [9, 11, 3, true],
      [11, 12, null, true],
    ],
  );
  assert.deepEqual(tokenRows([], 0, 0), []);
});

test("sampled tokens are counted over all segments", () => {
  assert.deepEqual(sampledStarts(STEPS), [0, 3, 3, 7]);
});

test("a version holds until the next one", () => {
  assert.deepEqual(
    [0, 1, 2, 9].map((token) => versionAt(STEPS[0]!, token)),
    [3, 3, 4, 4],
  );
  assert.equal(versionAt(STEPS[1]!, 0), null);
});

test("columns of segments and of sampled tokens are read at their own places", () => {
  const logprobs = Float32Array.from({ length: 12 }, (_, place) => -place);
  const found = {
    logprobs,
    trainer_logprobs: Float32Array.from([-5, -5.5, -7, 0, 0, 0, 0, -9, NaN]),
    advantage: Float64Array.from([1, 1, 1, 9, 9, 9, 9, -2, -2]),
  };
  const mode = (name: string) => MODES.find((each) => each.name === name)!;
  assert.equal(mode("logprob").value(found, 6, 1), -6);
  assert.equal(mode("ratio").value(found, 6, 1), 0.5);
  assert.equal(mode("ratio").value(found, 10, 8), null);
  const values = (name: string, length: number) => [
    ...modeValues(found, mode(name), STEPS, 0, length),
  ];
  const none = Array(5).fill(NaN);
  assert.deepEqual(values("advantage", 12), [...none, 1, 1, 1, NaN, -2, -2, NaN]);
  assert.deepEqual(values("logprob", 10), [...none, -5, -6, -7, NaN, -9]);
  assert.equal(hasMode(found, mode("entropy")), false);
  assert.equal(hasMode(found, mode("ratio")), true);
});

test("a line of the strip has the strongest of its values", () => {
  assert.deepEqual(strongest([1, -3, null, 2, null, null], 3), [-3, 2, null]);
  assert.deepEqual(strongest([1, 2], 5), [1, 1, 1, 2, 2]);
  assert.deepEqual(strongest([], 2), [null, null]);
  assert.deepEqual(strongest(Float32Array.from([NaN, -2, NaN]), 2), [null, -2]);
});
