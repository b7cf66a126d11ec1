import assert from "node:assert/strict";
import { test } from "node:test";
import { put, until } from "../src/model/line";

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
  /** Waits until a question was put, and answers it. */
  const serve = async (name: string) => {
    while (!answer.has(name)) await rest(5);
    answer.get(name)!(`answer to ${name}`);
  };
  return { begun, serve, ask };
}

const rest = (ms: number) => new Promise((rested) => setTimeout(rested, ms));
const refused = (asked: Promise<unknown>) => assert.rejects(asked, { name: "AbortError" });
const LIMIT = { timeout: 20_000 };

test(
  "what somebody waits for is asked at once, what stands beside it after it",
  LIMIT,
  async () => {
    const { begun, serve, ask } = desk();
    const later = ask("tags");
    const now = ask("episode");
    assert.deepEqual(begun, ["episode"]);
    await rest(200);
    assert.deepEqual(begun, ["episode"]);
    await serve("episode");
    assert.equal(await now, "answer to episode");
    await serve("tags");
    assert.equal(await later, "answer to tags");
  },
);

test("of what waits the quick ones are first, one after another", LIMIT, async () => {
  const { begun, serve, ask } = desk();
  const all = ["lens", "tags", "ledger", "members"].map((kind) => ask(kind));
  for (const kind of ["members", "ledger", "tags", "lens"]) {
    await serve(kind);
    assert.equal(begun.at(-1), kind);
  }
  await Promise.all(all);
  assert.equal(begun.length, 4);
});

test("what is no longer wanted leaves the line, also when it is under way", LIMIT, async () => {
  const { begun, serve, ask } = desk();
  const screens = ["a", "b", "c", "d"].map(() => new AbortController());
  const asked = screens.map(({ signal }, at) => [
    until(signal, () => ask("lens", `lens ${at}`)),
    until(signal, () => ask("tags", `tags ${at}`)),
  ]);
  while (begun.length === 0) await rest(5); // of the first screen, and never answered
  const gone = asked.slice(0, 3).flat().map(refused);
  screens.slice(0, 3).forEach((screen) => screen.abort());
  await Promise.all(gone);
  await serve("tags 3");
  await serve("lens 3");
  await Promise.all(asked[3]!);
  assert.deepEqual(begun, ["tags 0", "tags 3", "lens 3"]);
});

test("what nobody wants any more when it is asked is never put", LIMIT, async () => {
  const { begun, serve, ask } = desk();
  await refused(until(AbortSignal.abort(), () => ask("lens")));
  const next = ask("tags");
  await serve("tags");
  await next;
  assert.deepEqual(begun, ["tags"]);
});

test("what is asked after a signal is none of its questions", LIMIT, async () => {
  const { serve, ask } = desk();
  const screen = new AbortController();
  assert.throws(() => until(screen.signal, () => assert.fail("as it is")), /as it is/);
  const other = ask("lens");
  screen.abort();
  await serve("lens");
  assert.equal(await other, "answer to lens");
});
