import assert from "node:assert/strict";
import { test } from "node:test";
import { diffLines, diffRows } from "../src/model/diff";

function words(count: number, seed: number): string {
  const lines = Array.from({ length: count }, (_, at) => "abcd"[(at * 7 + seed * at * at) % 4]!);
  return lines.join("\n");
}

test("a diff has both texts in it, and each line where it stands", () => {
  for (let seed = 0; seed < 60; seed++) {
    const [before, after] = [words(seed % 9, seed), words((seed * 5) % 11, seed + 3)];
    const lines = diffLines(before, after);
    const of = (side: "before" | "after") => lines.filter((line) => line[side] !== null);
    for (const [side, text] of [
      ["before", before],
      ["after", after],
    ] as const) {
      assert.equal(
        of(side)
          .map((line) => line.text)
          .join("\n"),
        text,
      );
      assert.deepEqual(
        of(side).map((line) => line[side]),
        of(side).map((_, at) => at + 1),
      );
    }
    for (const line of lines) {
      const kind = line.before === null ? "new" : line.after === null ? "gone" : "same";
      assert.equal(line.kind, kind);
    }
  }
});

test("what did not change is the same", () => {
  const lines = diffLines("a\nb\nc\nd", "a\nx\nc\ny\nd");
  assert.deepEqual(
    lines.map((line) => `${line.kind} ${line.text}`),
    ["same a", "gone b", "new x", "same c", "new y", "same d"],
  );
  assert.ok(diffLines("a\nb", "a\nb").every((line) => line.kind === "same"));
  assert.deepEqual(diffLines("", "").length, 0);
  assert.deepEqual(
    diffLines("", "a").map((line) => line.kind),
    ["new"],
  );
});

test("texts that are far too long are told as replaced, at once", () => {
  const [before, after] = [0, 1].map((side) =>
    Array.from({ length: 5000 }, (_, at) => `${side} ${at}`).join("\n"),
  ) as [string, string];
  const started = performance.now();
  const lines = diffLines(`same\n${before}\nend`, `same\n${after}\nend`);
  assert.equal(lines.filter((line) => line.kind === "same").length, 2);
  assert.equal(lines.length, 10_002);
  assert.ok(performance.now() - started < 1000);
});

test("lines far from a change are folded, and counted", () => {
  const before = Array.from({ length: 20 }, (_, at) => `${at}`);
  const rows = diffRows(diffLines(before.join("\n"), before.with(10, "x").join("\n")), 2);
  assert.deepEqual(rows[0], { kind: "folded", count: 8 });
  assert.deepEqual(rows.at(-1), { kind: "folded", count: 7 });
  assert.equal(rows.length, 8);
  const all = rows.reduce((sum, row) => sum + (row.kind === "folded" ? row.count : 1), 0);
  assert.equal(all, 21);
});
