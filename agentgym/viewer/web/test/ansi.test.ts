import assert from "node:assert/strict";
import { test } from "node:test";
import { parseAnsi, visible } from "../src/model/ansi";

const text = (spans: { text: string }[]) => spans.map((span) => span.text).join("");

test("colours become classes until they end", () => {
  assert.deepEqual(parseAnsi("a\x1b[31mb\x1b[1mc\x1b[0md"), [
    { text: "a", style: "" },
    { text: "b", style: "ansi-red" },
    { text: "c", style: "ansi-red ansi-bold" },
    { text: "d", style: "" },
  ]);
});

test("sequences that are no colours leave nothing behind", () => {
  assert.equal(
    text(parseAnsi("a\x1b[2Jb\x1b[10;20Hc\x1b]0;title\x07d\x1b]8;;http://x\x1b\\e")),
    "abcde",
  );
  assert.equal(text(parseAnsi("\x1b[38;5;196mred\x1b[48;2;1;2;3mback")), "redback");
});

test("numbers of colours in 256 are no marks", () => {
  assert.deepEqual(parseAnsi("\x1b[38;5;1mx"), [{ text: "x", style: "" }]);
});

test("a sequence that is cut short can be seen", () => {
  assert.equal(text(parseAnsi("a\x1b[31")), "a␛[31");
});

test("no character that hides or turns text is left", () => {
  const hidden = "\0\b\x07\x7f\x9b\u202e\u2066\u200b\ufeff\u2028\r";
  const shown = visible(hidden);
  for (const character of hidden) assert.ok(!shown.includes(character));
  assert.equal(visible("a\n\tb"), "a\n\tb");
  assert.equal(visible("\u202e"), "⟨202E⟩");
});

test("markup is text", () => {
  assert.deepEqual(parseAnsi("<b>&amp;</b>"), [{ text: "<b>&amp;</b>", style: "" }]);
});

test("a long text of broken sequences takes no long time", () => {
  const started = performance.now();
  parseAnsi("\x1b]".repeat(50_000) + "\x1b[" + ";".repeat(100_000));
  assert.ok(performance.now() - started < 2000);
});
