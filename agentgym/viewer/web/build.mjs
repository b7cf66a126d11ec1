// Bundles src/ into ../static/app.js and app.css, or into the folder that is named.
// The first line of app.js says from which sources it is, so that a stale bundle is found without node.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, "..", "static");

/** The sha256 of every source by name, one after another, in the order of their names. */
function sourcesHash() {
  const names = readdirSync(join(here, "src"), { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => relative(here, join(each.parentPath, each.name)));
  const hash = createHash("sha256");
  for (const name of [...names, "package-lock.json", "build.mjs"].sort()) {
    hash
      .update(`${name}\0`)
      .update(readFileSync(join(here, name)))
      .update("\0");
  }
  return hash.digest("hex");
}

await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.tsx" },
  outdir: out,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  legalComments: "inline",
  charset: "utf8",
  banner: { js: `// sources ${sourcesHash()}` },
  logLevel: "warning",
});
