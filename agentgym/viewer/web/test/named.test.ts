import assert from "node:assert/strict";
import { test } from "node:test";
import { parseNamed, printNamed, runOf } from "../src/model/named";

const NAMES = [
  "runs/a b",
  "a/b",
  "%41",
  "#",
  "é",
  "\u2028",
  "</script>",
  "a\0b",
  "\\",
  "x#y/3",
  "$(x);`y`&'z'\"",
  "😀",
];

test("a place is read back from its name, which is one word", () => {
  for (const run of NAMES) {
    for (const episode of NAMES) {
      for (const [turn, token] of [
        [null, null],
        [3, null],
        [0, 12],
      ] as const) {
        const text = printNamed({ run, episode, turn, token });
        assert.deepEqual(parseNamed(text), { run, episode, turn, token });
        assert.doesNotMatch(text, /[\s<>$`;&|"'()\\]/u);
      }
    }
  }
  assert.equal(
    printNamed({ run: "runs/keydoor", episode: "train-000012-003.1.0", turn: 3, token: 12 }),
    "runs/keydoor#train-000012-003.1.0/3/12",
  );
});

test("what is no name is refused", () => {
  for (const text of [
    "",
    "#",
    "a",
    "a#",
    "#b",
    "a#b/",
    "a#b/x",
    "a#b/-1",
    "a#b/1/2/3",
    "a#b#c",
    "a#%ff",
  ])
    assert.equal(parseNamed(text), null, text);
});

test("a path means the run that ends so", () => {
  const runs = [
    { run: "a", path: "/x/runs/a" },
    { run: "a-2", path: "/y/runs/a" },
  ];
  assert.equal(runOf("/y/runs/a", runs), "a-2");
  assert.equal(runOf("y/runs/a/", runs), "a-2");
  assert.equal(runOf("./runs/a", runs), "a");
  assert.equal(runOf("elsewhere/a-2", runs), "a-2");
  assert.equal(runOf("b", runs), undefined);
});
