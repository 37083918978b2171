// Small parts that the views of rollouts share.
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { useChunks, type Report } from "../data";
import { num } from "../text";
import { OUTCOME_WORDS, openStore, type Outcome, type RolloutStore } from "../rollouts/store";
import "../rollouts/rollouts.css";

/** The result of a promise: undefined while it runs. A failure is thrown to the view's boundary. */
export function usePromise<T>(start: () => Promise<T>, inputs: readonly unknown[]): T | undefined {
  const [state, setState] = useState<{ value?: T; error?: unknown }>({});
  useEffect(() => {
    let current = true;
    start().then(
      (value) => current && setState({ value }),
      (error) => current && setState({ error }),
    );
    return () => {
      current = false;
    };
  }, inputs);
  if (state.error) throw state.error;
  return state.value;
}

export function useStore(report: Report): RolloutStore | undefined {
  return usePromise(() => openStore(report), [report]);
}

const SIGNS: Record<Outcome, string> = { valid: "✓", lucky: "◐", unknown: "?", wrong: "✕" };

export function OutcomeBadge({ outcome, short }: { outcome: Outcome; short?: boolean }) {
  const words = short && outcome === "unknown" ? "right" : OUTCOME_WORDS[outcome];
  return (
    <span class={`outcome ${outcome}`} title={OUTCOME_WORDS[outcome]}>
      <span aria-hidden="true">{SIGNS[outcome]} </span>
      {words}
    </span>
  );
}

/** The numbers of the shown latents in the dictionary, by row of the features. */
export function useLatentNumbers(report: Report): ArrayLike<number> | undefined {
  return useChunks({ it: report.index.features?.latents })?.it ?? undefined;
}

/** One term of a verdict line. */
export function Fact({ name, children, title }: { name: string; children: ComponentChildren; title?: string }) {
  return (
    <div class="fact" title={title}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** A difference on a common scale: its interval as a line, its value as a dot, zero as a rule. An arrow: beyond the scale. The numbers stand beside it. */
export function IntervalMark(props: { value: number | null; low: number | null; high: number | null; reach: number }) {
  const { value, low, high, reach } = props;
  const at = (x: number) => 60 + 56 * Math.max(-1, Math.min(1, x / (reach || 1)));
  return (
    <svg class="interval-mark" viewBox="0 0 120 14" width="120" height="14" aria-hidden="true">
      <line class="zero" x1="60" x2="60" y1="0" y2="14" />
      {isNumber(low) && isNumber(high) && <line class="span" x1={at(low)} x2={at(high)} y1="7" y2="7" />}
      {isNumber(value) && Math.abs(value) <= reach && <circle class="dot" cx={at(value)} cy="7" r="3" />}
      {isNumber(value) && Math.abs(value) > reach && <path class="dot" d={value > 0 ? "M113 2 L120 7 L113 12 Z" : "M7 2 L0 7 L7 12 Z"} />}
    </svg>
  );
}

/** Two decimals, and none for a whole number: rewards are mostly 0 or 1. */
export const short = (value: number): string => (Number.isInteger(value) ? String(value) : num(value, 2));

export const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
