import assert from "node:assert/strict";
import { test } from "node:test";
import { type Place, parseAddress, printAddress } from "../src/model/address";

const NAMES = [
  "demo",
  "a/b",
  "a%2Fb",
  "...",
  "?x=1#y",
  "a b",
  "é",
  "\u2028",
  "</script>",
  "x".repeat(3000),
  "a\0b",
  "%",
  "+",
  "\\",
  "//",
];

function there(place: Place, query: Record<string, string> = {}) {
  const url = new URL(printAddress(place, query), "http://127.0.0.1:7777");
  return parseAddress(url.pathname, url.search);
}

test("every place is read back from its address, whatever its names are", () => {
  for (const a of NAMES) {
    for (const b of NAMES) {
      const places: Place[] = [
        { screen: "run", run: a },
        { screen: "group", run: a, group: b },
        { screen: "episode", run: a, episode: b },
        { screen: "compare", a, b },
      ];
      for (const place of places) assert.deepEqual(there(place).place, place);
    }
  }
});

test("the query is read back, and has no empty words", () => {
  const query = { where: 'outcome>0 text:"a&b=c"', turn: "3", "": "x" };
  assert.deepEqual(there({ screen: "runs" }, query).query, query);
  assert.equal(printAddress({ screen: "runs" }, { turn: "", token: undefined }), "/");
});

test("what is no address leads nowhere", () => {
  for (const path of [
    "/run",
    "/run/",
    "/run/a/b",
    "/run/a/b/c",
    "/run/a/group/b/c",
    "/compare/a",
    "/x",
    "/%ff",
    "/run/%E0%A4%A",
  ]) {
    assert.equal(parseAddress(path).place.screen, "nowhere", path);
  }
  assert.deepEqual(parseAddress("/").place, { screen: "runs" });
  assert.deepEqual(parseAddress("/run/a/").place, { screen: "run", run: "a" });
});

test("lone surrogates, which no address can hold, do not stop it", () => {
  assert.equal(printAddress({ screen: "run", run: "a\ud800" }), "/run/a%EF%BF%BD");
});
