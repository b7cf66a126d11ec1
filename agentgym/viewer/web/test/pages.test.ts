import assert from "node:assert/strict";
import { test } from "node:test";
import { Pages } from "../src/model/pages";
import { returned } from "../src/model/state";

const rest = () => new Promise((done) => setTimeout(done, 0));

test("rows are fetched by the page, once each", async () => {
  const asked: number[] = [];
  const pages = new Pages(async (offset, limit) => {
    asked.push(offset);
    return {
      total: 250,
      rows: Array.from({ length: Math.min(limit, 250 - offset) }, (_, at) => offset + at),
    };
  });
  await rest();
  pages.want(90, 120);
  pages.want(90, 120);
  await rest();
  assert.deepEqual(asked, [0, 100]);
  assert.deepEqual([pages.at(119), pages.at(240), pages.total.value], [119, undefined, 250]);
});

test("what failed is asked again when the server is back, and not before", async () => {
  let asked = 0;
  let isThere = false;
  const pages = new Pages(async () => {
    asked++;
    if (!isThere) throw new Error("nobody is there");
    return { total: 1, rows: ["it"] };
  });
  for (let time = 0; time < 5; time++) {
    await rest();
    pages.want(0, 1); // as a part does that is drawn anew with every answer
  }
  assert.equal(asked, 1);
  assert.match(pages.error.value!.message, /nobody/);
  isThere = true;
  returned.value++;
  pages.want(0, 1);
  await rest();
  assert.deepEqual([asked, pages.at(0), pages.error.value], [2, "it", null]);
});
