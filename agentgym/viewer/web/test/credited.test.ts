import assert from "node:assert/strict";
import { test } from "node:test";
import { creditedBy } from "../src/model/credited";
import type { Episode, Lens } from "../src/model/types";
import { makeStep } from "./make";

const episode = {
  id: "__proto__",
  steps: [makeStep({ advantage: 0.5 }), makeStep({ index: 1, advantage: null })],
} as unknown as Episode;

function lens(steps: Record<string, number[]>): { value: Lens; error: null } {
  const value = { label: "gigpo - grpo", returns: {}, steps, tokens: false, most: 2, known: [] };
  return { value, error: null };
}

test("steps have what the lens gives them, on the scale of the group", () => {
  const found = creditedBy(episode, lens({ ["__proto__"]: [-1, 0.25], other: [2, 2] }), true);
  assert.deepEqual([0, 1, 2].map(found.at), [-1, 0.25, null]);
  assert.deepEqual(found.scale, { kind: "diverging", most: 2 });
  assert.equal(found.label, "gigpo - grpo");
});

test("without a lens they have what was recorded, unless another one was asked for", () => {
  const none = { value: null, error: null };
  assert.deepEqual([0, 1, 9].map(creditedBy(episode, none, false).at), [0.5, null, null]);
  assert.deepEqual(creditedBy(episode, none, false).scale, { kind: "diverging", most: 0.5 });
  assert.deepEqual([0, 1].map(creditedBy(episode, none, true).at), [null, null]);
  assert.equal(creditedBy(episode, lens({ other: [1] }), true).at(0), null);
});
