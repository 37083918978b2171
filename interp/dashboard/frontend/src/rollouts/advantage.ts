// Why a rollout has the advantage it has: what the reward, the gate and the siblings give, and whether the record agrees.
//
//   R = gate x reward          advantage = (R - mean of R in the group) / (deviation + 0.0001), and 0 where all R are equal
//
// Other losses leave the division out or divide by the deviation of the batch. A token gets the advantage times its credit.

import { num } from "../text";

export interface Sibling {
  reward: number;
  /** NaN: none was recorded. */
  gate: number;
  /** Mean over the tokens, as recorded; NaN: none. */
  advantage: number;
}

export interface Baseline {
  /** What is compared: the reward times the gate. */
  kept: number[];
  mean: number;
  /** With n - 1 below the line, as in training. NaN for one sibling. */
  deviation: number;
  allEqual: boolean;
  gated: boolean;
}

const EPSILON = 1e-4;

/** Three decimals, without zeros at the end. */
const number = (value: number): string => num(value).replace(/(\.\d*?)0+$/, "$1").replace(/\.$/, "");
const signed = (value: number): string => (value > 0 ? `+${number(value)}` : number(value));

export function baselineOf(siblings: readonly Sibling[]): Baseline {
  const kept = siblings.map((each) => (Number.isNaN(each.gate) ? each.reward : each.gate * each.reward));
  const n = kept.length;
  const mean = kept.reduce((sum, each) => sum + each, 0) / n;
  const squares = kept.reduce((sum, each) => sum + (each - mean) ** 2, 0);
  return {
    kept,
    mean,
    deviation: n > 1 ? Math.sqrt(squares / (n - 1)) : NaN,
    allEqual: Math.max(...kept) === Math.min(...kept),
    gated: siblings.some((each) => each.gate < 1),
  };
}

/** GRPO's advantage of one sibling. */
export function expectedAdvantage(baseline: Baseline, at: number): number {
  return baseline.allEqual ? 0 : (baseline.kept[at] - baseline.mean) / (baseline.deviation + EPSILON);
}

/** Sentences: how the advantage of one sibling comes about. */
export function explainAdvantage(siblings: readonly Sibling[], at: number): string[] {
  const own = siblings[at];
  const sentences: string[] = [];
  if (siblings.length < 2) {
    sentences.push("It is the only rollout of this prompt here: there is no group to compare it with.");
    if (!Number.isNaN(own.advantage)) sentences.push(`The recorded advantage is ${signed(own.advantage)}.`);
    return sentences;
  }
  const baseline = baselineOf(siblings);
  sentences.push(...gateSentences(own, baseline, at));
  sentences.push(ruleSentence(baseline, at, Number.isNaN(own.advantage) ? "would give" : "gives"));
  sentences.push(...recordSentences(siblings, baseline, at));
  return sentences;
}

function gateSentences(own: Sibling, baseline: Baseline, at: number): string[] {
  if (own.gate < 1) {
    const product = `${number(own.reward)} × ${number(own.gate)} = ${number(baseline.kept[at])}`;
    return [`The gate kept ${number(own.gate)} of its reward: ${product}. What the gates left is compared in the group.`];
  }
  if (baseline.gated) return ["The gate left its reward whole, but took from a sibling's. What the gates left is compared."];
  return [];
}

function ruleSentence(baseline: Baseline, at: number, gives: string): string {
  const n = baseline.kept.length;
  const what = baseline.gated ? "gated reward" : "reward";
  if (baseline.allEqual) {
    return `All ${n} ${what}s are equal (${number(baseline.kept[at])}): none is above the mean, so no advantage differs from 0.`;
  }
  const sum = `(${number(baseline.kept[at])} − ${number(baseline.mean)}) / ${number(baseline.deviation)}`;
  return (
    `${capital(what)} ${number(baseline.kept[at])}, group mean ${number(baseline.mean)}, deviation ` +
    `${number(baseline.deviation)}: ${sum} ${gives} the advantage ${signed(expectedAdvantage(baseline, at))}.`
  );
}

function recordSentences(siblings: readonly Sibling[], baseline: Baseline, at: number): string[] {
  const recorded = siblings[at].advantage;
  if (Number.isNaN(recorded)) return ["No advantage was recorded: this rollout was not trained on."];
  const words = `The recorded advantage is ${signed(recorded)}`;
  if (close(recorded, expectedAdvantage(baseline, at))) return [`${words}: the same.`];
  const above = baseline.kept[at] - baseline.mean;
  if (siblings.every((each, i) => close(each.advantage, baseline.kept[i] - baseline.mean))) {
    return [`${words}: the reward less the mean, not divided by the deviation (as in Dr. GRPO).`];
  }
  const unit = above / recorded;
  const oneUnit = (each: Sibling, i: number) => close(each.advantage * unit, baseline.kept[i] - baseline.mean);
  if (unit > 0 && Number.isFinite(unit) && siblings.every(oneUnit)) {
    return [`${words}: divided by ${number(unit)} for the whole group, as by the deviation of a batch.`];
  }
  const total = siblings.reduce((sum, each) => sum + each.advantage, 0);
  if (Math.abs(total) > 0.02 * siblings.length) {
    return [
      `${words}, which differs. The recorded advantages of these ${siblings.length} siblings sum to ${signed(total)}, not to ` +
        "0: the group had more rollouts than this report shows, or its rewards were penalized for length.",
    ];
  }
  return [`${words}, which differs: another loss, or a penalty for length, shaped the rewards first.`];
}

/** A sentence if the tokens of a rollout got different advantages. */
export function explainTokens(advantages: ArrayLike<number> | null | undefined): string[] {
  let least = Infinity;
  let most = -Infinity;
  for (const value of Array.from(advantages ?? [])) {
    if (value < least) least = value;
    if (value > most) most = value;
  }
  if (!(most - least > 0.01)) return [];
  return [`Its tokens received from ${signed(least)} to ${signed(most)}: each the advantage times its credit.`];
}

/** Equal up to the half precision of the record. */
const close = (a: number, b: number): boolean => Math.abs(a - b) <= 0.005 + 0.004 * Math.abs(b);

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
