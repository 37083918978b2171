// Builds the two static files: `node build.mjs [folder]` (default: ../static). Same sources, same bytes.
// Their first line names the sources by a hash, so that a test sees a bundle that was not built again.
import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const root = fileURLToPath(new URL(".", import.meta.url));
const folder = process.argv[2] ?? join(root, "../static");
const BUILD_FILES = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"];

function* sources(under) {
  for (const entry of readdirSync(join(root, under), { withFileTypes: true })) {
    const path = `${under}/${entry.name}`;
    if (entry.isDirectory()) yield* sources(path);
    else yield path;
  }
}

/** Path, zero byte, content, zero byte of each file, in the order of paths. */
function sourceHash() {
  const hash = createHash("sha256");
  for (const path of [...sources("src"), ...BUILD_FILES].sort()) {
    hash
      .update(`${path}\0`)
      .update(readFileSync(join(root, path)))
      .update("\0");
  }
  return hash.digest("hex");
}

const banner = `/* interp dashboard ${sourceHash()} */`;
await build({
  entryPoints: { dashboard: join(root, "src/main.tsx") },
  absWorkingDir: root,
  outdir: folder,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022", "chrome111", "firefox113", "safari16.4"],
  jsx: "automatic",
  jsxImportSource: "preact",
  charset: "ascii",
  legalComments: "none",
  logLevel: "warning",
  banner: { js: banner, css: banner },
});
