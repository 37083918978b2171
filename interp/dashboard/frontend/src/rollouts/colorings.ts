// The colourings of a rollout's tokens: what each shows, its numbers, its scale, and why it may be unavailable.

import type { Scale } from "../colors";
import { num, signed } from "../text";
import { readAt } from "./payments";
import type { Reading } from "./reading";

export type ColoringKind = "sequential" | "diverging" | "steps";

export interface Coloring {
  /** As in the address: by=entropy. */
  key: string;
  label: string;
  /** The key that chooses it. "" for further colourings. */
  digit: string;
  what: string;
  kind: ColoringKind;
  unit: string;
  /** Why there is nothing to show; "" if there is. */
  reason: string;
}

export interface ColoringValues {
  /** What the colours follow: the numbers less the centre, and log-probabilities turned positive. */
  shades: Float32Array;
  scale: Scale;
  /** The least and the largest shade; 0 always lies between them. */
  ends: [number, number];
  /** A shade as the number that was recorded. */
  format: (shade: number) => string;
}

interface Rule {
  key: string;
  label: string;
  what: string;
  kind: ColoringKind;
  unit?: string;
  /** The number at which nothing is unusual. */
  center?: number;
  values(reading: Reading, latent: number | null): Float32Array | null;
  reason: string;
}

const numeric = (name: "logprob" | "entropy" | "advantage" | "credit") => (reading: Reading) =>
  reading.arrays[name] ? Float32Array.from(reading.arrays[name] ?? []) : null;

const NOT_EXPLAINED = "The report does not say what a readout read here: the rollout was not paid by one, failed, or no explanation was given.";

const RULES: readonly Rule[] = [
  {
    key: "activation",
    label: "activation",
    what: "Activation of the chosen latent; full colour is its largest anywhere. 0 where it is not among the strongest of the token.",
    kind: "sequential",
    values: (reading, latent) => (latent === null || !reading.arrays.live_latent ? null : reading.activations(latent)),
    reason: "No latent of the report is active in this rollout.",
  },
  {
    key: "entropy",
    label: "entropy",
    what: "Entropy of the distribution from which the token was drawn.",
    kind: "sequential",
    unit: "nats",
    values: numeric("entropy"),
    reason: "No entropies are recorded for this rollout.",
  },
  {
    key: "logprob",
    label: "log-prob",
    what: "Log-probability of the token. Darker is less likely.",
    kind: "sequential",
    unit: "nats",
    values: numeric("logprob"),
    reason: "No log-probabilities are recorded for this rollout.",
  },
  {
    key: "advantage",
    label: "advantage",
    what: "What the token received: the rollout's advantage times its credit.",
    kind: "diverging",
    values: numeric("advantage"),
    reason: "No advantages are recorded: this rollout was not trained on.",
  },
  {
    key: "credit",
    label: "credit",
    what: "Weight of the token in its rollout's advantage. The mean over a rollout is 1.",
    kind: "diverging",
    center: 1,
    values: numeric("credit"),
    reason: "No credit is recorded: the run had none, or this rollout was not trained on.",
  },
  {
    key: "kl",
    label: "KL",
    what: "Log-probability less that by the base: above 0, the token became likelier.",
    kind: "diverging",
    unit: "nats",
    values: (reading) => {
      const { logprob, base_logprob } = reading.arrays;
      return logprob && base_logprob ? Float32Array.from(logprob, (value, at) => value - base_logprob[at]) : null;
    },
    reason: "The base's log-probabilities are not in this report.",
  },
  {
    key: "base",
    label: "live − base",
    what: "Activation of the chosen latent in this checkpoint less that in the base, on the same text.",
    kind: "diverging",
    values: (reading, latent) => {
      if (latent === null || !reading.arrays.base_latent || !reading.arrays.live_latent) return null;
      const base = reading.activations(latent, "base");
      return reading.activations(latent).map((value, at) => value - base[at]);
    },
    reason: "The base's activations on this text are not in this report.",
  },
  {
    key: "validity",
    label: "validity",
    what: "Whether the step that the token belongs to is right, has a wrong equation, or is true but not due.",
    kind: "steps",
    values: (reading) => (reading.steps.some((step) => step.state) ? Float32Array.from(reading.arrays.state ?? []) : null),
    reason: "No step of this rollout was judged.",
  },
  {
    key: "read",
    label: "read",
    what: "What the credit's readout read at the token, in log-odds that the success is valid. A direct answer is also read at the end of its question.",
    kind: "diverging",
    unit: "nats",
    values: (reading) => {
      const paid = reading.paid?.scheme;
      return paid?.read ? Float32Array.from(reading.texts, (_, at) => readAt(paid, at)) : null;
    },
    reason: NOT_EXPLAINED,
  },
  {
    key: "control",
    label: "control's advantage",
    what: "The advantage that the token would have received from the control of the credit.",
    kind: "diverging",
    values: (reading) => (reading.paid?.control?.advantage ? Float32Array.from(reading.paid.control.advantage) : null),
    reason: NOT_EXPLAINED,
  },
  {
    key: "control-read",
    label: "read by the control",
    what: "What the control of the credit read at the token, in log-odds.",
    kind: "diverging",
    unit: "nats",
    values: (reading) => {
      const control = reading.paid?.control;
      return control?.read ? Float32Array.from(reading.texts, (_, at) => readAt(control, at)) : null;
    },
    reason: NOT_EXPLAINED,
  },
];

/** Rules with a key of their own; the others stand in the list of further colourings. */
const WITH_DIGIT = 9;

const hasNumber = (values: Float32Array | null): boolean => !!values && values.some((value) => !Number.isNaN(value));

function rules(reading: Reading): Rule[] {
  const extras = reading.store.report.index.rollouts?.extras ?? [];
  const further = extras.map((extra, at): Rule => {
    return {
      key: `extra-${at}`,
      label: extra.name,
      what: extra.what,
      kind: "diverging",
      values: () => (reading.extras[at] ? Float32Array.from(reading.extras[at] ?? []) : null),
      reason: `"${extra.name}" was not given for this rollout.`,
    };
  });
  const payments = reading.store.report.index.rollouts?.payments ?? [];
  const hasControl = payments.some((each) => each.control);
  return [...RULES.filter((rule) => hasControl || !rule.key.startsWith("control")), ...further];
}

/** All colourings, those without data with the reason. */
export function coloringsOf(reading: Reading): Coloring[] {
  const first = reading.latents[0]?.row ?? null;
  return rules(reading).map((rule, at) => ({
    key: rule.key,
    label: rule.label,
    digit: at < WITH_DIGIT ? String(at + 1) : "",
    what: rule.what,
    kind: rule.kind,
    unit: rule.unit ?? "",
    reason: hasNumber(rule.values(reading, first)) ? "" : rule.reason,
  }));
}

/** The numbers of a colouring with their scale. `peak`: the latent's largest activation anywhere, or NaN. */
export function coloringValues(reading: Reading, key: string, latent: number | null, peak: number): ColoringValues | null {
  const rule = rules(reading).find((each) => each.key === key);
  const values = rule?.values(reading, latent);
  if (!rule || !values || !hasNumber(values)) return null;
  const center = rule.center ?? 0;
  const sign = key === "logprob" ? -1 : 1;
  const shades = values.map((value) => sign * (value - center));
  let reach = key === "activation" && peak > 0 ? peak : 0;
  const ends: [number, number] = [0, reach];
  for (const value of shades) {
    if (value < ends[0]) ends[0] = value;
    if (value > ends[1]) ends[1] = value;
    if (Math.abs(value) > reach) reach = Math.abs(value);
  }
  const format = (shade: number) => (rule.kind === "diverging" && !center ? signed(shade) : num(sign * shade + center));
  return { shades, scale: { kind: rule.kind === "diverging" ? "diverging" : "sequential", max: reach || 1 }, ends, format };
}

/** The colouring that a key of the keyboard chooses. */
export const keyOfDigit = (digit: string): string | undefined => RULES.slice(0, WITH_DIGIT)[Number(digit) - 1]?.key;
