import assert from "node:assert/strict";
import { test } from "node:test";
import { truthClass, truthWords, type Truths } from "../src/model/truth";
import { makeStep } from "./make";

const sampled = { first: 0, stop: 2, step: makeStep({ tokens: [0, 2] }), head: true };
const given = { first: 2, stop: 4, step: null, head: true };
const truths = { at: (place: number) => (place === 1 ? [7, 8] : null) } as unknown as Truths;

test("a mask that is not where sampling was is told, and so are other readings", () => {
  const right = { sampled: Uint8Array.from([1, 1, 0, 0]) };
  const wrong = { sampled: Uint8Array.from([1, 0, 1, 0]) };
  const told = (found: typeof right) =>
    [0, 1, 2, 3].map((at) => truthClass(found, at < 2 ? sampled : given, at, truths).trim());
  assert.deepEqual(told(right), ["", "drift", "", ""]);
  assert.deepEqual(told(wrong), ["", "drift mask-wrong", "mask-wrong", ""]);
  assert.match(truthWords(wrong, sampled, 1, truths), /given; .* tokenised as 7 8/);
  assert.equal(truthWords(right, sampled, 0, null), "");
});

test("a record without a mask is not blamed", () => {
  assert.equal(truthClass({}, given, 3, null).trim(), "");
});
