import assert from "node:assert/strict";
import { test } from "node:test";
import { cellWords, givenLedger, GLYPHS, MEANINGS, sum } from "../src/model/terms";
import { makeStep } from "./make";

const row = {
  term: "tests",
  weight: 0.5,
  scope: "step",
  form: "as_given",
  raw: [0, 1],
  paid: [0, 0.5],
  states: ["blocked", "counted"],
  blocked_by: [],
  total: 0.5,
};

test("a cell tells its state, why it is blocked, what was given and what was paid", () => {
  const gates = [
    { term: "tests", condition: "outcome > 0", share: [0, 1] },
    { term: "other", condition: "format > 0", share: [0, 0] },
  ];
  assert.equal(
    cellWords(row, 0, gates),
    "turn 0, tests: blocked: not outcome > 0; given 0, paid 0",
  );
  assert.equal(cellWords(row, 1, gates), "turn 1, tests: counted; given 1, paid 0.5");
  assert.match(cellWords({ ...row, form: "potential" }, 1, gates), /potential 1, paid 0.5/);
  assert.match(cellWords(row, 9, gates), /turn 9, tests: not reached; given –, paid –/);
});

test("where nobody knows what was paid, it is told what was given", () => {
  const found = givenLedger([
    makeStep({ reward_terms: { a: 1, __proto__x: 2 } }),
    makeStep({ reward_terms: { a: 3 } }),
  ]);
  assert.deepEqual(
    found.terms.map((term) => [term.term, term.raw, sum(term.raw), term.paid]),
    [
      ["a", [1, 3], 4, [NaN, NaN]],
      ["__proto__x", [2, 0], 2, [NaN, NaN]],
    ],
  );
  assert.deepEqual([found.total, found.gates, found.recorded], [NaN, [], null]);
});

test("every state has a mark of its own, and words", () => {
  assert.deepEqual(Object.keys(GLYPHS), Object.keys(MEANINGS));
  assert.equal(new Set(Object.values(GLYPHS)).size, Object.keys(GLYPHS).length);
});
