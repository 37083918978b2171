// Numbers as text, CSV, and files to save.
import type { Interval } from "./types";

export type Cell = string | number | boolean | null | undefined;

const finite = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);

/** A number of three decimals, with fewer for large ones and an exponent for tiny ones; "–" where there is none. */
export function num(value: number | null | undefined, decimals = 3): string {
  if (!finite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size !== 0 && size < 0.5 * 10 ** -decimals) return value.toExponential(1).replace("-", "−").replace("e-", "e−");
  const text = size >= 10000 ? Math.round(value).toLocaleString("en-US") : value.toFixed(size >= 100 ? 1 : decimals);
  return /^-0\.?0*$/.test(text) ? text.slice(1) : text.replace("-", "−");
}

/** The same with a sign, for changes. */
export function signed(value: number | null | undefined, decimals = 3): string {
  return finite(value) && value > 0 ? `+${num(value, decimals)}` : num(value, decimals);
}

/** "0.123 [0.101, 0.145]" */
export function interval(
  { value, low, high }: Pick<Interval, "value" | "low" | "high">,
  format: (x: number | null) => string = num,
): string {
  if (!finite(low) || !finite(high)) return format(value);
  return `${format(value)} [${format(low)}, ${format(high)}]`;
}

export function count(n: number | null | undefined): string {
  return finite(n) ? n.toLocaleString("en-US") : "–";
}

/** "1 latent", "2 latents" */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** "5.5%", and two digits of what is below a tenth of a percent. */
export function percent(value: number | null | undefined): string {
  if (!finite(value)) return "–";
  const percents = 100 * value;
  return `${percents !== 0 && Math.abs(percents) < 0.1 ? percents.toPrecision(2) : num(percents, 1)}%`;
}

/** A measure's name as words: "pass_rate" is "pass rate". */
export const words = (name: string): string => name.replace(/_/g, " ");

const FORMULA = /^[=+\-@\t\r]/;

/** One cell of CSV. A text that a spreadsheet would run as a formula gets a leading apostrophe. */
export function csvCell(value: Cell): string {
  if (value == null || (typeof value === "number" && !Number.isFinite(value))) return "";
  // Arrays are of half and single precision: seven digits hold them.
  if (typeof value === "number") return String(Number.isInteger(value) ? value : Number(value.toPrecision(7)));
  if (typeof value !== "string") return String(value);
  const text = FORMULA.test(value) ? `'${value}` : value;
  return /[",\n\r]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}

export function csv(head: readonly string[], rows: Iterable<readonly Cell[]>): string {
  const lines = [head.map(csvCell).join(",")];
  for (const row of rows) lines.push(row.map(csvCell).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

/** A file name from a title: letters, digits and hyphens. */
export function fileName(title: string, ending: string): string {
  const name = title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "");
  return `${name.slice(0, 60) || "interp"}.${ending}`;
}

export function download(name: string, content: string | Blob, type = "text/plain"): void {
  const blob = typeof content === "string" ? new Blob([content], { type: `${type};charset=utf-8` }) : content;
  const url = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function downloadCsv(title: string, head: readonly string[], rows: Iterable<readonly Cell[]>): void {
  download(fileName(title, "csv"), csv(head, rows), "text/csv");
}

/** Each word of a search stands somewhere in the text; both in lower case. */
export function matches(lowerText: string, query: string): boolean {
  return lowerText.includes(query.trim().toLowerCase());
}
