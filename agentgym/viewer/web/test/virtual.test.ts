import assert from "node:assert/strict";
import { test } from "node:test";
import { anchorAt, Heights, windowOf } from "../src/model/virtual";

/** Numbers from 0 to 1 that are the same in every run of the tests. */
function random(seed: number): () => number {
  let state = seed;
  return () => (state = (state * 16807) % 2147483647) / 2147483647;
}

test("places are sums of heights, and heights what was measured last", () => {
  const next = random(7);
  for (let round = 0; round < 50; round++) {
    const count = Math.floor(next() * 40);
    const heights = new Heights(count, 20);
    const slow = Array<number>(count).fill(20);
    for (let change = 0; change < 30 && count; change++) {
      const index = Math.floor(next() * count);
      slow[index] = 1 + Math.floor(next() * 200);
      heights.set(index, slow[index]!);
    }
    let top = 0;
    for (let index = 0; index <= count; index++) {
      assert.equal(heights.offset(index), top);
      if (index === count) break;
      for (const y of [top, top + slow[index]! / 2, top + slow[index]! - 0.5])
        assert.equal(heights.at(y), index);
      top += slow[index]!;
    }
    assert.equal(heights.total, top);
  }
});

test("above the beginning is the first item, below the end the last one", () => {
  const heights = new Heights(5, 10);
  assert.equal(heights.at(-100), 0);
  assert.equal(heights.at(1e9), 4);
  assert.deepEqual(windowOf(new Heights(0, 10), 0, 100), [0, 0]);
});

test("a window has what is seen, and little more of a million items", () => {
  const heights = new Heights(1_000_000, 24);
  assert.deepEqual(windowOf(heights, 12_000_000, 480, 240), [499_990, 500_031]);
});

test("what is seen stays where it is while heights above become known", () => {
  const heights = new Heights(100, 20);
  const anchor = anchorAt(heights, 1007);
  assert.deepEqual(anchor, { index: 50, hidden: 7 });
  heights.set(3, 500);
  assert.equal(heights.offset(anchor.index) + anchor.hidden, 1007 + 480);
});

test("a height that is the same is no change", () => {
  const heights = new Heights(3, 20);
  assert.equal(heights.set(1, 20.1), false);
  assert.equal(heights.set(1, 30), true);
  assert.equal(heights.set(1, 30), false);
});
