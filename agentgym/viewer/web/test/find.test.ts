import assert from "node:assert/strict";
import { test } from "node:test";
import { cutMatches, find, firstFrom } from "../src/model/find";

const TEXTS = ["the door", "Door, door", "", "a.b*c"];

test("matches are in order, in any case", () => {
  assert.deepEqual(find(TEXTS, "DOOR"), [
    { item: 0, start: 4, stop: 8 },
    { item: 1, start: 0, stop: 4 },
    { item: 1, start: 6, stop: 10 },
  ]);
});

test("what is searched is no pattern", () => {
  assert.deepEqual(find(TEXTS, ".b*"), [{ item: 3, start: 1, stop: 4 }]);
  for (const wanted of ["(", "[", "\\", "{", "^$|?+-/"]) assert.deepEqual(find(TEXTS, wanted), []);
});

test("nothing is found of nothing", () => {
  assert.deepEqual(find(TEXTS, ""), []);
});

test("there is an end to what is found", () => {
  assert.equal(find(["a".repeat(50_000)], "a").length, 10_000);
});

test("the matches of an item are those that are in it", () => {
  const matches = find(TEXTS, "o");
  for (const item of [-1, 0, 1, 2, 3, 9]) {
    assert.deepEqual(
      cutMatches(matches, item),
      matches.filter((match) => match.item === item),
    );
  }
});

test("a search begins where one looks, or at the beginning", () => {
  const matches = find(TEXTS, "door");
  assert.equal(firstFrom(matches, 1), 1);
  assert.equal(firstFrom(matches, 2), 0);
});
