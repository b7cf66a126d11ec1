import assert from "node:assert/strict";
import { test } from "node:test";
import { calm, put, until } from "../src/model/line";

/** Questions that are answered when one says so; `begun` are those that were put, in their order. */
function desk() {
  const begun: string[] = [];
  const answer = new Map<string, (value: string) => void>();
  const ask = (kind: string, name = kind) =>
    put<string>(kind, (signal) => {
      begun.push(name);
      return new Promise((answered, failed) => {
        answer.set(name, answered);
        signal?.addEventListener("abort", () => failed(signal.reason));
      });
    });
  return { begun, answer, ask };
}

const rest = (ms = 200) => new Promise((rested) => setTimeout(rested, ms));
const refused = (asked: Promise<unknown>) => assert.rejects(asked, { name: "AbortError" });

test("what somebody waits for is asked at once, and what stands beside it after it", async () => {
  const { begun, answer, ask } = desk();
  const later = ask("tags");
  const now = ask("episode");
  await rest();
  assert.deepEqual(begun, ["episode"]);
  answer.get("episode")!("told");
  assert.equal(await now, "told");
  await rest();
  assert.deepEqual(begun, ["episode", "tags"]);
  answer.get("tags")!("found");
  assert.equal(await later, "found");
});

test("of what waits the quick ones are first, one after another", async () => {
  const { begun, answer, ask } = desk();
  const all = ["lens", "tags", "ledger", "members"].map((kind) => ask(kind));
  for (const kind of ["members", "ledger", "tags", "lens"]) {
    await rest();
    assert.equal(begun.at(-1), kind);
    answer.get(kind)!("");
  }
  await Promise.all(all);
});

test("what is no longer wanted leaves the line, also when it is under way", async () => {
  const { begun, answer, ask } = desk();
  const screens = ["a", "b", "c", "d"].map(() => new AbortController());
  const asked = screens.map(({ signal }, at) => [
    until(signal, () => ask("lens", `lens ${at}`)),
    until(signal, () => ask("tags", `tags ${at}`)),
  ]);
  await rest();
  assert.deepEqual(begun, ["tags 0"]); // which is never answered
  const gone = asked.slice(0, 3).flat().map(refused);
  screens.slice(0, 3).forEach((screen) => screen.abort());
  await Promise.all(gone);
  await rest();
  assert.deepEqual(begun, ["tags 0", "tags 3"]);
  answer.get("tags 3")!("");
  await rest();
  answer.get("lens 3")!("");
  await Promise.all(asked[3]!);
  assert.deepEqual(begun, ["tags 0", "tags 3", "lens 3"]);
});

test("what is not wanted any more when it is asked is never put", async () => {
  const { begun, ask } = desk();
  await refused(until(AbortSignal.abort(), () => ask("lens")));
  await calm();
  await rest();
  assert.deepEqual(begun, []);
  assert.throws(() => until(AbortSignal.abort(), () => assert.fail("as it is")), /as it is/);
});
