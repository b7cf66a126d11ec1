import assert from "node:assert/strict";
import { test } from "node:test";
import { paidOf, toldOfDifference, toldOfEqual } from "../src/model/learnt";
import type { GroupShown } from "../src/model/types";

function shown(rewards: (number | null)[], steps: Record<string, (number | null)[]>): GroupShown {
  const members = rewards.map((reward, member) => ({
    ...{ id: `e${member}`, member, end: "terminated" as const, outcome: 0, reward, actions: [] },
  }));
  const rest = {
    group: "g",
    task: "t",
    step: 1,
    of: rewards.length,
    forked: null,
    trouble: [],
    rows: [],
  };
  return { ...rest, members, diverge: null, reconverge: null, credit: { label: "x", steps } };
}

test("a group with different rewards needs no word", () => {
  assert.equal(toldOfEqual(shown([1, 0], { e0: [1], e1: [-1] })), null);
  assert.equal(toldOfEqual(shown([1], { e0: [0] })), null);
});

test("equal rewards teach nothing where every advantage is 0", () => {
  const told = toldOfEqual(shown([1, 1], { e0: [0, 0], e1: [0] }))!;
  assert.match(told, /All 2 rewards are 1.00: zero variance\..*nothing is learnt here/);
  assert.match(toldOfEqual(shown([1, 1], { e0: [0.5], e1: [0] }))!, /Yet there are advantages/);
  assert.match(toldOfEqual(shown([1, 1], {}))!, /No advantage is known/);
});

test("a difference is told with its signs and its largest step", () => {
  const group = shown([1, 0], { e0: [0.5, 0, null], e1: [-2, 0.1] });
  const told = toldOfDifference(group, "grpo")!;
  assert.match(told.text, /than from grpo.*2 steps more, 1 less, 1 the same.*by −2/);
  assert.deepEqual([told.where!.id, told.where!.turn], ["e1", 0]);
  assert.equal(toldOfDifference(group, undefined), null);
  assert.deepEqual(toldOfDifference(shown([1], { e0: [0] }), "grpo"), {
    text: "Both give every step the same.",
    where: null,
  });
});

test("a fault and an episode without a reward were paid nothing, which is not 0", () => {
  const line = { end: "terminated", reward: null, outcome: 1 };
  assert.equal(paidOf(line), 1);
  assert.equal(paidOf({ ...line, reward: 0 }), 0);
  assert.equal(paidOf({ ...line, end: "error", reward: 0.5 }), null);
  assert.equal(paidOf({ ...line, outcome: null }), null);
  const group = shown([1, 1, null], { e0: [0], e1: [0] });
  group.members[2]!.end = "error";
  assert.match(toldOfEqual(group)!, /^All 2 rewards are 1.00/);
});
