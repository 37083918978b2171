// Checks of the sources that the compiler does not make: no markup from data, no network, contrasts of the colours.
import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("src", import.meta.url));
const FORBIDDEN = [
  [
    /dangerouslySetInnerHTML|innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment/,
    "markup from a string",
  ],
  [/\beval\(|new Function\(|setTimeout\(\s*["'`]/, "code from a string"],
  [/\bfetch\(|XMLHttpRequest|WebSocket|EventSource|sendBeacon|importScripts|\bimport\(/, "the network"],
  [/https?:\/\/(?!www\.w3\.org\/2000\/svg)/, "an address on the network"],
  [/@import url\(|url\((?!["']?#)/, "a file from elsewhere"],
  [/\balert\(|console\./, "a message that nobody reads"],
];

function* files(folder) {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) yield* files(path);
    else if (/\.(tsx?|css)$/.test(name)) yield path;
  }
}

const faults = [];
for (const path of files(root)) {
  readFileSync(path, "utf8")
    .split("\n")
    .forEach((line, i) => {
      for (const [pattern, what] of FORBIDDEN) if (pattern.test(line)) faults.push(`${path}:${i + 1}: ${what}: ${line.trim()}`);
    });
}

const channel = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255);
const luminance = (color) => color.map(channel).reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const contrast = (a, b) => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
};

const css = readFileSync(join(root, "css/theme.css"), "utf8");
for (const [name, block] of [...css.matchAll(/(\.interp|\[data-theme="dark"\]) \{([^}]*--text:[^}]*)\}/g)].map((m) => [
  m[1],
  m[2],
])) {
  const colors = Object.fromEntries([...block.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g)].map((m) => [m[1], rgb(m[2])]));
  const demand = (front, back, least, label) => {
    const value = contrast(front, back);
    if (value < least) faults.push(`theme.css ${name}: ${label}: contrast ${value.toFixed(2)}, at least ${least} is needed`);
  };
  for (const ground of ["surface", "ground", "soft"]) {
    for (const text of ["text", "muted", "accent", "bad", "warn"])
      demand(colors[text], colors[ground], 4.5, `--${text} on --${ground}`);
  }
  for (const hue of ["seq", "pos", "neg"]) {
    for (let a = 0; a <= 1; a += 0.05) {
      const mixed = colors[hue].map((c, i) => a * c + (1 - a) * colors.surface[i]);
      demand(colors.text, mixed, 4.5, `--text on --${hue} at ${a.toFixed(2)}`);
    }
  }
  for (let i = 0; i < 8; i++) demand(colors[`hue-${i}`], colors.surface, 3, `--hue-${i} on --surface`);
  for (const i of [1, 3]) demand(colors[`hue-${i}`], colors.surface, 4.5, `--hue-${i} as the text of a badge`);
}

if (faults.length) {
  process.stderr.write(`${faults.join("\n")}\n`);
  process.exit(1);
}
