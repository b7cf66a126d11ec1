import assert from "node:assert/strict";
import { test } from "node:test";
import { beginOf, folds, marks } from "../src/model/folds";
import { rolloutName, rolloutNames } from "../src/model/rollouts";
import type { AlignedRow } from "../src/model/types";

const made = (id: string, member: number | null, attempt?: number | null) => ({
  id,
  member,
  attempt: attempt ?? null,
});

test("rollouts are called by their numbers, and two attempts at one by both", () => {
  const group = [made("a", 3), made("b", 4, 0), made("c", 4, 1), made("d", 5, 2)];
  assert.deepEqual(rolloutNames(group), ["3", "4.0", "4.1", "5"]);
  assert.equal(rolloutName(group, "c"), "4.1");
  assert.equal(rolloutName(group, "nobody"), "");
});

test("what no number tells apart is called by its id", () => {
  assert.deepEqual(rolloutNames([made("a", 4, 1), made("b", 4, 1), made("c", 4, 0)]), [
    "a",
    "b",
    "4.0",
  ]);
  assert.deepEqual(rolloutNames([made("a", null), made("b", null)]), ["0", "1"]);
});

test("names tell all of a group apart", () => {
  const groups = Array.from({ length: 300 }, (_, seed) =>
    Array.from({ length: 1 + (seed % 7) }, (_, at) =>
      made(`id-${at}`, ((seed * 7 + at * 13) >> 1) % 3, (seed + at * 5) % 3),
    ),
  );
  for (const group of groups) assert.equal(new Set(rolloutNames(group)).size, group.length);
});

test("a parent is called so, also beside a rollout of its number", () => {
  const group = [{ ...made("p", 0), is_parent: true }, made("a", 0), made("b", 1)];
  assert.deepEqual(rolloutNames(group), ["parent", "0", "1"]);
});

const row = (cells: (number | null)[], folded: boolean): AlignedRow => ({
  cells,
  same: folded ? "all" : "some",
  folded,
  rejoins: false,
});

test("the row in which a fork begins is shown and marked, however much is shared", () => {
  const rows = [row([0, 0], true), row([1, 1], true), row([2, 2], true), row([3, 3], false)];
  const began = beginOf(rows, 1);
  assert.equal(began, 1);
  assert.deepEqual(folds(rows, "beginning folded", began), [
    { row: 0, hidden: 1 },
    { row: 1, hidden: 0 },
    { row: 2, hidden: 1 },
    { row: 3, hidden: 0 },
  ]);
  assert.deepEqual(marks(rows, 3, began), [1, 3]);
  assert.deepEqual([beginOf(rows, null), beginOf(rows, undefined), beginOf(rows, 9)], [-1, -1, -1]);
});

test("a fork behind the end of its parent begins in the first row of its children", () => {
  assert.equal(beginOf([row([0, 0], true), row([null, 1], false)], 1), 1);
});
