// Short names of runs: without the beginning and the end that all of them share.
import { readable } from "./tokens";
import type { Index } from "./types";

/** Characters of a name that are shown as they are. */
const SHORT = 20;
const SEPARATOR = /[-_/., ]/;

/** Long names without what all share at both ends, cut where a word ends: "…-easy-…". Others stay as they are. */
export function shortNames(names: readonly string[]): string[] {
  if (new Set(names).size < 2 || names.every((name) => name.length <= SHORT)) return [...names];
  const front = wordEnd(shared(names), names);
  const rest = names.map((name) => name.slice(front));
  const reversed = rest.map(reverse);
  const back = wordEnd(shared(reversed), reversed);
  const short = rest.map((name) => `${front ? "…" : ""}${name.slice(0, name.length - back)}${back ? "…" : ""}`);
  return short.every((name) => name.replace(/…/g, "")) && new Set(short).size === new Set(names).size ? short : [...names];
}

const reverse = (text: string): string => [...text].reverse().join("");

/** Characters that all begin with. */
function shared(names: readonly string[]): string {
  let length = 0;
  while (names[0][length] !== undefined && names.every((name) => name[length] === names[0][length])) length++;
  return names[0].slice(0, length);
}

/** The length of a beginning, cut back to its last separator: words stay whole. */
function wordEnd(beginning: string, names: readonly string[]): number {
  let length = beginning.length;
  if (names.some((name) => name.length === length)) length--;
  while (length > 0 && !SEPARATOR.test(beginning[length - 1])) length--;
  return Math.max(0, length);
}

const known = new WeakMap<Index, string[]>();

/** The short name of a run, for the screen. */
export function runName(index: Index, run: number): string {
  if (!known.has(index)) known.set(index, shortNames(index.runs.map((each) => each.name)));
  return readable(known.get(index)![run] ?? `run ${run}`);
}

/** The short name of the run that has this name. */
export function shortOf(index: Index, name: string): string {
  const run = index.runs.findIndex((each) => each.name === name);
  return run < 0 ? readable(name) : runName(index, run);
}
