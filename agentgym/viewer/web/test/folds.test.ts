import assert from "node:assert/strict";
import { test } from "node:test";
import { folds } from "../src/folds";

const rows = (...folded: boolean[]) =>
  folded.map((each) => ({ cells: [], same: "all" as const, folded: each, rejoins: false }));

test("rows next to each other in which all did the same are one line", () => {
  assert.deepEqual(folds(rows(true, true, false, true, false), false), [
    { row: 0, hidden: 2 },
    { row: 2, hidden: 0 },
    { row: 3, hidden: 1 },
    { row: 4, hidden: 0 },
  ]);
});

test("unfolded, every row is shown", () => {
  const lines = folds(rows(true, true, false), true);
  assert.deepEqual(
    lines.map((line) => line.row),
    [0, 1, 2],
  );
  assert.ok(lines.every((line) => line.hidden === 0));
});
