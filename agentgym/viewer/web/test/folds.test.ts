import assert from "node:assert/strict";
import { test } from "node:test";
import { foldOf, folds, lineOf, marks, nextOf } from "../src/model/folds";
import type { AlignedRow } from "../src/model/types";

const rows = (...folded: boolean[]): AlignedRow[] =>
  folded.map((each) => ({ cells: [], same: "all", folded: each, rejoins: false }));

test("rows next to each other in which all did the same are one line", () => {
  assert.deepEqual(folds(rows(true, true, false, true, false), "beginning folded"), [
    { row: 0, hidden: 2 },
    { row: 2, hidden: 0 },
    { row: 3, hidden: 1 },
    { row: 4, hidden: 0 },
  ]);
});

test("unfolded, every row is shown", () => {
  const lines = folds(rows(true, true, false), "all rows");
  assert.deepEqual(
    lines.map((line) => line.row),
    [0, 1, 2],
  );
  assert.ok(lines.every((line) => line.hidden === 0));
});

test("of what differs only, shared rows are hidden but where rollouts meet again", () => {
  const all = rows(true, false, false, false);
  all[1]!.same = "some";
  all[3]!.rejoins = true;
  assert.deepEqual(folds(all, "only what differs"), [
    { row: 0, hidden: 1 },
    { row: 1, hidden: 0 },
    { row: 2, hidden: 1 },
    { row: 3, hidden: 0 },
  ]);
  assert.deepEqual(marks(all, 1), [1, 3]);
});

test("every row has its line, or the one that hides it", () => {
  const lines = folds(rows(true, true, false, true, false), "beginning folded");
  assert.deepEqual(
    [0, 1, 2, 3, 4, 99].map((row) => lineOf(lines, row)),
    [0, 0, 1, 2, 3, 3],
  );
});

test("the next mark is found in both directions and around the end", () => {
  assert.deepEqual([nextOf([2, 5], -1, 1), nextOf([2, 5], 2, 1), nextOf([2, 5], 5, 1)], [2, 5, 2]);
  assert.deepEqual(
    [nextOf([2, 5], 9, -1), nextOf([2, 5], 5, -1), nextOf([2, 5], 2, -1)],
    [5, 2, 5],
  );
  assert.equal(nextOf([], 0, 1), undefined);
});

test("of one rollout, with which all is shared, nothing is folded", () => {
  assert.equal(foldOf(undefined, 1), "all rows");
  assert.equal(foldOf("only what differs", 1), "all rows");
  assert.equal(foldOf(undefined, 2), "beginning folded");
  assert.equal(foldOf("all rows", 2), "all rows");
  assert.equal(foldOf("all rows ", 2), "beginning folded");
});
