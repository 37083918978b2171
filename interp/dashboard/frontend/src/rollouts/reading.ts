// One rollout, ready to read: its tokens with every number recorded for them, and the latents active in it.

import { NO_LATENT, type TokenArray } from "../types";
import { openPaid, type Paid } from "./payments";
import type { Numbers, RolloutStore } from "./store";

export const STATE_WORDS = ["no step", "step right", "equation wrong", "true, but not due"];

/** What is known of a step, in words. A step that nobody judged has a number and no state. */
export const stepWords = (state: number): string => (state === 0 ? "not judged" : (STATE_WORDS[state] ?? "unknown"));

export interface LatentHere {
  /** Row of the features. */
  row: number;
  peak: number;
  tokens: number;
}

export interface Step {
  /** From 1. */
  number: number;
  state: number;
  /** Tokens [from, to). */
  from: number;
  to: number;
}

type Numeric = "logprob" | "entropy" | "advantage" | "credit" | "base_logprob";

export class Reading {
  readonly texts: string[];
  readonly latents: LatentHere[];
  readonly steps: Step[];

  constructor(
    readonly store: RolloutStore,
    readonly row: number,
    readonly arrays: Partial<Record<TokenArray, Numbers>>,
    readonly extras: (Numbers | null)[],
    /** What the credit read and paid, if it was explained. */
    readonly paid: Paid | null,
  ) {
    this.texts = Array.from(arrays.token ?? [], (token) => store.tokenText(token));
    this.latents = this.latentsHere();
    this.steps = stepsOf(arrays.step, arrays.state);
  }

  static async open(store: RolloutStore, row: number): Promise<Reading> {
    const block = store.blocks[store.blockIndex(row)];
    const names = Object.keys(block?.arrays ?? {}) as TokenArray[];
    const arrays: Partial<Record<TokenArray, Numbers>> = {};
    await Promise.all(
      names.map(async (name) => {
        const array = await store.tokens(row, name);
        if (array) arrays[name] = array;
      }),
    );
    const extras = store.report.index.rollouts?.extras ?? [];
    const [further, paid] = await Promise.all([Promise.all(extras.map((_, at) => store.extra(row, at))), openPaid(store, row)]);
    return new Reading(store, row, arrays, further, paid);
  }

  get length(): number {
    return this.texts.length;
  }

  value(name: Numeric, at: number): number {
    return this.arrays[name]?.[at] ?? NaN;
  }

  role(at: number): string {
    const role = this.arrays.role?.[at];
    return role === undefined ? "" : (this.store.tokenRoles[role] ?? "");
  }

  state(at: number): number {
    return this.arrays.state?.[at] ?? 0;
  }

  /** Number of latents kept per token. */
  get width(): number {
    return this.length ? Math.round((this.arrays.live_latent?.length ?? 0) / this.length) : 0;
  }

  /** Activation of a latent at a token: 0 where it is not among the strongest that the report keeps. */
  activation(latent: number, at: number, which: "live" | "base" = "live"): number {
    const latents = this.arrays[`${which}_latent`];
    const values = this.arrays[`${which}_value`];
    if (!latents || !values) return NaN;
    const width = Math.round(latents.length / this.length);
    for (let k = at * width; k < (at + 1) * width; k++) if (latents[k] === latent) return values[k];
    return 0;
  }

  activations(latent: number, which: "live" | "base" = "live"): Float32Array {
    return Float32Array.from(this.texts, (_, at) => this.activation(latent, at, which));
  }

  /** The latents kept at a token, the strongest first. */
  strongest(at: number): { row: number; live: number; base: number }[] {
    const latents = this.arrays.live_latent;
    const values = this.arrays.live_value;
    if (!latents || !values) return [];
    const here: { row: number; live: number; base: number }[] = [];
    for (let k = at * this.width; k < (at + 1) * this.width; k++) {
      if (latents[k] === NO_LATENT || !(values[k] > 0)) continue;
      here.push({ row: latents[k], live: values[k], base: this.activation(latents[k], at, "base") });
    }
    return here.sort((a, b) => b.live - a.live);
  }

  /** What the base keeps at a token and the live policy does not. */
  onlyInBase(at: number): { row: number; live: number; base: number }[] {
    const latents = this.arrays.base_latent;
    const values = this.arrays.base_value;
    if (!latents || !values) return [];
    const live = new Set(this.strongest(at).map((each) => each.row));
    const width = Math.round(latents.length / this.length);
    const here: { row: number; live: number; base: number }[] = [];
    for (let k = at * width; k < (at + 1) * width; k++) {
      if (latents[k] !== NO_LATENT && values[k] > 0 && !live.has(latents[k])) {
        here.push({ row: latents[k], live: 0, base: values[k] });
      }
    }
    return here.sort((a, b) => b.base - a.base);
  }

  private latentsHere(): LatentHere[] {
    const latents = this.arrays.live_latent;
    const values = this.arrays.live_value;
    if (!latents || !values) return [];
    const here = new Map<number, LatentHere>();
    for (let k = 0; k < latents.length; k++) {
      if (latents[k] === NO_LATENT || !(values[k] > 0)) continue;
      const each = here.get(latents[k]);
      if (!each) here.set(latents[k], { row: latents[k], peak: values[k], tokens: 1 });
      else {
        each.tokens++;
        if (values[k] > each.peak) each.peak = values[k];
      }
    }
    return [...here.values()].sort((a, b) => b.peak - a.peak || a.row - b.row);
  }
}

function stepsOf(numbers: Numbers | undefined, states: Numbers | undefined): Step[] {
  const steps: Step[] = [];
  for (let at = 0; at < (numbers?.length ?? 0); at++) {
    const number = numbers?.[at] ?? 0;
    if (!number) continue;
    const last = steps[steps.length - 1];
    if (last && last.number === number && last.to === at) last.to = at + 1;
    else steps.push({ number, state: states?.[at] ?? 0, from: at, to: at + 1 });
  }
  return steps;
}
