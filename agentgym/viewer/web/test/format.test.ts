import assert from "node:assert/strict";
import { test } from "node:test";
import { cell, count, counted, number, piece, seconds, share, signed } from "../src/model/format";
import { findKey, keyOf } from "../src/model/keys";

test("numbers have the figures that tell something", () => {
  const shown: [number | null, string][] = [
    [null, "–"],
    [NaN, "–"],
    [0, "0"],
    [3, "3"],
    [-3, "−3"],
    [0.46321, "0.463"],
    [-0.0054321, "−0.00543"],
    [12.345, "12.3"],
    [1234.5, "1235"],
    [999.7, "1000"],
    [-99999.9, "−100000"],
    [0.00001234, "1.2e−5"],
    [12345678, "1.2e7"],
    [Infinity, "∞"],
  ];
  for (const [value, text] of shown) assert.equal(number(value), text);
  assert.equal(signed(0.5), "+0.500");
  assert.equal(cell(-0.5), "−0.50");
  assert.equal(count(12345), "12,345");
  assert.equal(counted(1, "group"), "1 group");
  assert.deepEqual([0.5, 0 / 0, null].map(share), ["50.0%", "–", "–"]);
  assert.deepEqual([0.0123, 0.9996, 12.34, 600, 9000].map(seconds), [
    "12 ms",
    "1.0 s",
    "12.3 s",
    "10 min",
    "2.5 h",
  ]);
});

test("tokens without ink can be seen", () => {
  assert.equal(piece("\n\n"), "↵\n↵\n");
  assert.equal(piece(null), "\ufffd");
});

test("keys with a modifier, and those typed into fields, are left alone", () => {
  const event = { key: "j", ctrlKey: false, metaKey: false, altKey: false };
  assert.equal(keyOf(event, false), "j");
  assert.equal(keyOf({ ...event, key: " " }, false), "Space");
  assert.equal(keyOf(event, true), null);
  assert.equal(keyOf({ ...event, key: "Escape" }, true), "Escape");
  assert.equal(keyOf({ ...event, ctrlKey: true }, false), null);
  const key = { keys: "j k", what: "", act: () => undefined };
  assert.equal(findKey([key], "k"), key);
  assert.equal(findKey([key], "J"), undefined);
});
