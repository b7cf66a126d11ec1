import assert from "node:assert/strict";
import { test } from "node:test";
import { answerFrom, canonical, type SharedFile } from "../src/model/shared";

const file = (answers: Record<string, unknown>): SharedFile => ({
  page: "/run/a/group/g",
  credits: [],
  answers,
});

test("an address has one form, whatever the order and the characters of its words", () => {
  assert.equal(
    canonical("/api/runs/a/lens", {
      minus: "",
      group: "g*1 ('x')",
      credit: "b,c=0.5",
      at: undefined,
    }),
    "/api/runs/a/lens?credit=b%2Cc%3D0.5&group=g%2A1%20%28%27x%27%29",
  );
  assert.equal(canonical("/x", { b: 1, a: 0 }), canonical("/x", { a: 0, b: 1 }));
});

test("of texts, columns and reasons a part of the whole is answered", async () => {
  const from = file({
    "/e/pieces?segment=1": { pieces: ["a", "b", "c"], of: 3 },
    "/e/columns?segment=0": btoa("\u0001\u00ff"),
    "/why?segment=0": { answers: [{ weight: 1 }, { weight: 2 }], tokens: [1, 0, 1] },
  });
  const asked = (path: string, query: Record<string, string | number>) =>
    answerFrom(from, path, query);
  assert.deepEqual(await asked("/e/pieces", { segment: 1, first: 1, stop: 9 }).json(), {
    pieces: ["b", "c"],
    of: 3,
  });
  const bytes = await asked("/e/columns", { segment: 0, names: "x,y" }).arrayBuffer();
  assert.deepEqual([...new Uint8Array(bytes)], [1, 255]);
  assert.deepEqual(await asked("/why", { segment: 0, token: 2 }).json(), { weight: 2 });
});

test("what a file does not have, and what failed when it was made, are errors", async () => {
  const from = file({ "/x": { error: "no values", hint: null } });
  const failed = answerFrom(from, "/x", {});
  assert.equal(failed.status, 400);
  assert.equal(((await failed.json()) as { error: string }).error, "no values");
  for (const path of ["/y", "toString", "__proto__"]) {
    assert.equal(answerFrom(from, path, {}).status, 404);
  }
});
