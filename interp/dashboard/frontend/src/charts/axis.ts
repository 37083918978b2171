// Axes: ranges, round ticks, and positions.
import { num } from "../text";

export interface Axis {
  low: number;
  high: number;
  ticks: number[];
  /** Position of a value, in pixels. */
  at: (value: number) => number;
  format: (value: number) => string;
}

/** The least and greatest of the finite values; [0, 1] where there are none. */
export function extent(values: Iterable<number | null | undefined>): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    if (value == null || !Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [0, 1];
}

/** About `wanted` round numbers from low to high. */
export function ticksOf(low: number, high: number, wanted: number): number[] {
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 2.5, 5, 10].find((m) => m * power >= raw * 0.999) ?? 10);
  const ticks: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

export function linearAxis(range: [number, number], from: number, to: number, wanted: number, pad = 0.04): Axis {
  let [low, high] = range;
  if (low === high) [low, high] = low === 0 ? [-1, 1] : [low - Math.abs(low) / 2, high + Math.abs(low) / 2];
  const margin = (high - low) * pad;
  [low, high] = [low - margin, high + margin];
  const ticks = ticksOf(low, high, wanted);
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 1;
  const decimals = Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9) + (/[2]5/.test(String(step)) ? 1 : 0)));
  return {
    low,
    high,
    ticks,
    at: (value) => from + ((value - low) / (high - low)) * (to - from),
    format: (value) => tickText(value, step, decimals),
  };
}

function tickText(value: number, step: number, decimals: number): string {
  if (value === 0) return "0";
  if (step < 0.0005) return Number(value.toPrecision(3)).toExponential().replace(/-/g, "−");
  return num(value, decimals)
    .replace(/(\.\d*?)0+$/, "$1")
    .replace(/\.$/, "");
}

/** The axis with a tick at each of the values, if they are few enough for its length. */
export function withTicksAt(axis: Axis, values: number[], pixels: number): Axis {
  const ticks =
    values.length <= Math.abs(axis.at(axis.high) - axis.at(axis.low)) / pixels ? values : axis.ticks.filter(Number.isInteger);
  return values.every(Number.isInteger) ? { ...axis, ticks } : axis;
}

/** A text cut to a width in characters, never inside a pair of surrogates. */
export function cut(text: string, characters: number): string {
  if (text.length <= characters) return text;
  return `${text.slice(0, Math.max(1, characters - 1)).replace(/[\ud800-\udbff]$/, "")}…`;
}
