import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { test } from "node:test";

const names = readdirSync("src", { recursive: true, withFileTypes: true })
  .filter((each) => each.isFile())
  .map((each) => relative("src", join(each.parentPath, each.name)));
const read = (name: string) => readFileSync(join("src", name), "utf8");

/** What every file may use; below it, each may use those before its own. */
const LAYERS = ["model", "parts", "run", "group", "episode", "compare", "."];
const SHARED = [".", "parts"];

/** The selectors of a style sheet, one by one. */
function selectorsOf(name: string): string[] {
  const text = read(name).replace(/\/\*.*?\*\//gs, "");
  return [...text.matchAll(/([^{};]+)\{/g)]
    .map(([, found]) => found!.trim())
    .filter((found) => !found.startsWith("@"))
    .flatMap((found) => found.split(/,(?![^(]*\))/).map((each) => each.trim()));
}

const classesOf = (selector: string) =>
  [...selector.matchAll(/\.([a-z][\w-]*)/gi)].map(([, name]) => name!);

test("every selector of a panel has a class that no other style sheet knows", () => {
  const sheets = names.filter((name) => name.endsWith(".css"));
  const homes = new Map<string, Set<string>>();
  for (const sheet of sheets)
    for (const name of selectorsOf(sheet).flatMap(classesOf))
      homes.set(name, (homes.get(name) ?? new Set()).add(sheet));
  const clashing = sheets
    .filter((sheet) => !SHARED.includes(dirname(sheet)))
    .flatMap((sheet) =>
      selectorsOf(sheet)
        .filter((selector) => !classesOf(selector).some((name) => homes.get(name)!.size === 1))
        .map((selector) => `${sheet}: ${selector}`),
    );
  assert.ok(homes.size > 100);
  assert.deepEqual(clashing, []);
});

test("every class of a style sheet stands in a source", () => {
  const sources = names
    .filter((name) => /\.tsx?$/.test(name))
    .map(read)
    .join("\n");
  const made = /^(ansi|g|c|v|n|p|s|k|state|view|of)-?[\w-]*$/;
  const unknown = names
    .filter((name) => name.endsWith(".css"))
    .flatMap(selectorsOf)
    .flatMap(classesOf)
    .filter((name) => !made.test(name) && !new RegExp(`[\\s"'\`]${name}[\\s"'\`]`).test(sources));
  assert.deepEqual([...new Set(unknown)], []);
});

test("sources use what is below them", () => {
  const wrong = names
    .filter((name) => /\.tsx?$/.test(name))
    .flatMap((name) =>
      [...read(name).matchAll(/from "(\.[^"]+)"/g)]
        .map(([, to]) => join(dirname(name), to!))
        .filter((to) => LAYERS.indexOf(dirname(to)) > LAYERS.indexOf(dirname(name)))
        .map((to) => `${name} uses ${to}`),
    );
  assert.deepEqual(wrong, []);
});

test("a style sheet stands beside the source that it is of", () => {
  for (const name of names.filter((each) => each.endsWith(".css"))) {
    const users = names.filter((each) => /\.tsx$/.test(each) && dirname(each) === dirname(name));
    assert.ok(
      users.some((each) => read(each).includes(`import "./${basename(name)}"`)),
      name,
    );
  }
});
