// What the credit read in one rollout and what it paid, beside what a control would have paid.

import type { PaymentSide } from "../types";
import type { Numbers, RolloutStore } from "./store";

/** One scheme and one rollout. */
export interface Payment {
  name: string;
  /** Who read: "the base", "the policy itself"; "" if nothing is read. */
  reader: string;
  sources: string[];
  p: number;
  gate: number;
  paid: number;
  /** What was added to its advantage, whatever its reward; NaN where the scheme adds nothing. */
  added: number;
  /** Log-odds of a text that is like the mean of the labels. */
  atMean: number;
  /** What each source adds to them. */
  bySource: number[];
  /** What each source read at each token: N x sources, NaN where it read nothing. */
  read: Numbers | null;
  /** The advantage of each token under this scheme. */
  advantage: Numbers | null;
}

export interface Paid {
  scheme: Payment;
  control: Payment | null;
}

export const logOdds = (payment: Payment): number => payment.bySource.reduce((sum, each) => sum + each, payment.atMean);

/** What all sources read at a token; NaN where none does. */
export function readAt(payment: Payment, token: number): number {
  const width = payment.sources.length;
  let sum = NaN;
  for (let at = token * width; at < (token + 1) * width; at++) {
    const value = payment.read?.[at] ?? NaN;
    if (!Number.isNaN(value)) sum = Number.isNaN(sum) ? value : sum + value;
  }
  return sum;
}

/** The payment of a rollout; null where none was explained. */
export async function openPaid(store: RolloutStore, row: number): Promise<Paid | null> {
  for (const payments of store.report.index.rollouts?.payments ?? []) {
    const rows = await store.report.array(payments.rows);
    const at = Array.prototype.indexOf.call(rows, row);
    if (at < 0) continue;
    const open = (side: PaymentSide) => openSide(store, row, at, rows.length, payments.columns, side);
    return { scheme: await open(payments.scheme), control: payments.control && (await open(payments.control)) };
  }
  return null;
}

const READERS: Record<string, string> = { base: "the base", live: "the policy itself" };

async function openSide(
  store: RolloutStore,
  row: number,
  at: number,
  count: number,
  columns: readonly string[],
  side: PaymentSide,
): Promise<Payment> {
  const chunks = side.tokens[String(store.blockIndex(row))];
  const [values, read, advantage] = await Promise.all([
    store.report.array(side.values),
    chunks?.read ? store.slice(row, chunks.read) : null,
    chunks?.advantage ? store.slice(row, chunks.advantage) : null,
  ]);
  const width = values.length / count;
  const own = Array.from(values.subarray(at * width, (at + 1) * width));
  const value = (name: string) => own[columns.indexOf(name)] ?? NaN;
  return {
    name: side.name,
    reader: READERS[side.reader] ?? side.reader,
    sources: side.sources,
    p: value("p"),
    gate: value("gate"),
    paid: value("paid"),
    added: value("added"),
    atMean: value("at_mean"),
    bySource: own.slice(columns.length),
    read,
    advantage,
  };
}
