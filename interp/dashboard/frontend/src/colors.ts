// Colours: scales by CSS classes, so that a theme or a colouring changes without drawing again.
// One class picks the hue, another how much of it is mixed into the background; text on any mixture keeps a contrast of
// 4.5 (check.mjs computes it). Hues are apart for the colour-blind: blue against orange, never red against green.

export interface Scale {
  kind: "sequential" | "diverging";
  /** The value of full colour; for a diverging scale on both sides of zero. */
  max: number;
  /** The value of no colour (sequential only). */
  min?: number;
  /** Small values get more colour: the amount is the square root of the share. */
  root?: boolean;
}

export interface Shade {
  hue: "seq" | "pos" | "neg" | "none";
  amount: number;
}

const clamp = (x: number): number => (x < 0 ? 0 : x > 1 ? 1 : x);

export function shade(value: number | null | undefined, scale: Scale): Shade {
  if (value == null || Number.isNaN(value)) return { hue: "none", amount: 0 };
  if (scale.kind === "diverging") {
    const part = scale.max > 0 ? clamp(Math.abs(value) / scale.max) : 0;
    return { hue: value < 0 ? "neg" : "pos", amount: scale.root ? Math.sqrt(part) : part };
  }
  const min = scale.min ?? 0;
  return { hue: "seq", amount: scale.max > min ? clamp((value - min) / (scale.max - min)) : 0 };
}

/** Shares of full colour that there are classes for; `a0` to `a20` stand in theme.css. */
const STEPS = 20;

/** The classes of an element that shows a value. Classes alone, for a screen has thousands of such elements. */
export function shadeClass(value: number | null | undefined, scale: Scale): string {
  const { hue, amount } = shade(value, scale);
  return hue === "none" ? "shade none" : `shade ${hue} a${Math.round(amount * STEPS)}`;
}

/** The same as properties: `<td {...shadeProps(0.3, scale)}>`. */
export const shadeProps = (value: number | null | undefined, scale: Scale): { class: string } => ({
  class: shadeClass(value, scale),
});

/** A scale over what is shown: the 98th percentile is full colour, so that one outlier does not bleach the rest. */
export function scaleOf(values: ArrayLike<number | null | undefined>, kind: Scale["kind"], share = 0.98): Scale {
  const step = Math.max(1, Math.floor(values.length / 20_000));
  const sizes: number[] = [];
  for (let i = 0; i < values.length; i += step) {
    const value = values[i];
    if (value != null && Number.isFinite(value)) sizes.push(kind === "diverging" ? Math.abs(value) : value);
  }
  sizes.sort((a, b) => a - b);
  const at = (q: number) => sizes[Math.min(sizes.length - 1, Math.floor(q * sizes.length))] ?? 0;
  const max = at(share) || sizes[sizes.length - 1] || 1;
  return kind === "diverging" ? { kind, max } : { kind, max, min: Math.min(0, at(1 - share)) };
}

/** How many hues lines and bars have; a class `hue-0` to `hue-7` sets `--hue`. */
export const HUES = 8;
export const hueClass = (i: number): string => `hue-${((i % HUES) + HUES) % HUES}`;
