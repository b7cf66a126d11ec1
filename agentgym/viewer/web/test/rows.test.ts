import assert from "node:assert/strict";
import { test } from "node:test";
import {
  asMarkdown,
  chunks,
  episodeRows,
  LONGEST,
  plain,
  roleClass,
  turnStarts,
} from "../src/model/rows";
import { makeStep } from "./make";

test("parts of a text are its text, and none is too long", () => {
  for (const text of [
    "",
    "a",
    "line\n".repeat(5000),
    "x".repeat(30_001),
    "😀".repeat(9000),
    "\n".repeat(20_000),
  ]) {
    const parts = chunks(text);
    assert.equal(parts.join(""), text);
    for (const part of parts) {
      assert.ok(part.length <= LONGEST);
      assert.ok(part.isWellFormed());
    }
  }
});

test("a text is cut at ends of lines", () => {
  assert.deepEqual(chunks("aaa\nbbb\nccc", 8), ["aaa\nbbb\n", "ccc"]);
});

test("a turn begins with what the model said, and has the replies to it", () => {
  const call = { function: { name: "run", arguments: '{"x": 1}' } };
  const rows = episodeRows({
    prompt: [
      { role: "system", content: "s" },
      { role: "user", content: "u" },
    ],
    steps: [
      makeStep({
        index: 0,
        message: { role: "assistant", content: "go", tool_calls: [call] },
        replies: [{ role: "tool", content: "done" }],
      }),
      makeStep({ index: 1, message: { role: "assistant", content: "" } }),
    ],
  });
  assert.deepEqual(
    rows.map((row) => [row.turn, row.role, row.kind, row.text, row.head]),
    [
      [null, "system", "text", "s", true],
      [null, "user", "text", "u", true],
      [0, "assistant", "text", "go", true],
      [0, "assistant", "call", '{"x": 1}', false],
      [0, "tool", "text", "done", true],
      [1, "assistant", "nothing", "", true],
    ],
  );
  assert.deepEqual(turnStarts(rows), [2, 5]);
});

test("content may be parts, nothing, or anything", () => {
  const contents: [unknown, string][] = [
    [[{ type: "text", text: "a" }, { type: "image_url" }], "a\n[image_url]"],
    [null, ""],
    [{ x: 1 }, '{"x":1}'],
    [[null, 3], "[part]\n[part]"],
  ];
  for (const [content, text] of contents) {
    assert.equal(episodeRows({ prompt: [{ role: "user", content }], steps: [] })[0]!.text, text);
  }
});

test("a search sees no colours of terminals", () => {
  const [row] = episodeRows({
    prompt: [{ role: "tool", content: "\x1b[31mred\x1b[0m\x07" }],
    steps: [],
  });
  assert.equal(plain(row!), "red␇");
});

test("as Markdown, nothing in a call ends its block", () => {
  const message = {
    role: "assistant",
    content: "go",
    tool_calls: [{ function: { name: "run", arguments: "a\n````\nb" } }],
  };
  const rows = episodeRows({
    prompt: [{ role: "user", content: "u" }],
    steps: [makeStep({ message })],
  });
  assert.equal(
    asMarkdown(rows),
    "## user\n\nu\n\n## assistant, turn 0\n\ngo\n`````json run\na\n````\nb\n`````\n\n",
  );
});

test("no role of a record becomes a class of the page", () => {
  assert.equal(roleClass("assistant"), "role-assistant");
  for (const role of ["help", "user here quiet", "assistant help", ""])
    assert.equal(roleClass(role), "");
});
