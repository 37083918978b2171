// The rows of the features view: which latents a search and filters leave.
import { useMemo } from "preact/hooks";
import { useChunks, useJson } from "../data";
import type { Notes } from "../notes";
import { readable } from "../tokens";
import type { Features, Index, NumberArray } from "../types";
import type { TrackData } from "./track";

export interface FeatureTable {
  features: Features;
  latents: NumberArray;
  role: NumberArray;
  firingRate: NumberArray;
  meanWhenActive: NumberArray;
  max: NumberArray;
  slow: NumberArray;
}

export function useFeatureTable(features: Features): FeatureTable | undefined {
  const chunks = useChunks({
    latents: features.latents,
    role: features.role,
    firingRate: features.facts.firing_rate,
    meanWhenActive: features.facts.mean_when_active,
    max: features.facts.max,
    slow: features.facts.slow,
  });
  const ready = !!chunks;
  return useMemo(() => (chunks ? { features, ...chunks } : undefined), [features, ready]);
}

/** The row of a latent by its number in the dictionary, -1 if it is not shown. */
export function rowOf(latents: NumberArray, latent: number | undefined): number {
  return latent === undefined ? -1 : latents.indexOf(latent);
}

export const roleName = (table: FeatureTable, row: number): string => table.features.roles[table.role[row]] ?? "none";

/** Texts of the tokens that a latent's decoder raises and lowers, in lower case; undefined until they are read. */
export function useLensTexts(index: Index, features: Features, wanted: boolean): ((row: number) => string) | undefined {
  const lens = wanted ? features.lens : null;
  const arrays = useChunks({ raised: lens?.raised ?? null, lowered: lens?.lowered ?? null });
  const texts = useJson<string[]>(wanted ? index.rollouts?.token_texts : null);
  const ready = !!arrays && (!!texts || !index.rollouts);
  return useMemo(() => {
    if (!wanted || !arrays?.raised || !arrays.lowered || !texts) return undefined;
    const per = arrays.raised.length / Math.max(1, features.count);
    const lower = texts.map((text) => text.toLowerCase());
    return (row) => {
      const parts: string[] = [];
      for (let i = row * per; i < (row + 1) * per; i++) parts.push(lower[arrays.raised[i]] ?? "", lower[arrays.lowered[i]] ?? "");
      return parts.join("\n");
    };
  }, [ready, wanted]);
}

export interface RowFilter {
  query: string;
  role: string;
  verdict: string;
  /** A bucket's name; "" for any. */
  bucket: string;
}

export function filterLatents(
  table: FeatureTable,
  filter: RowFilter,
  notes: Notes,
  data: TrackData | undefined,
  lens: ((row: number) => string) | undefined,
): number[] {
  const query = filter.query.trim().toLowerCase();
  const digits = /^\d+$/.test(query);
  const verdict = data ? data.features.verdicts.indexOf(filter.verdict) : -1;
  const buckets =
    data?.index.buckets.map((_, b) => b).filter((b) => !filter.bucket || data.index.buckets[b] === filter.bucket) ?? [];
  const rows: number[] = [];
  for (let row = 0; row < table.latents.length; row++) {
    if (filter.role && roleName(table, row) !== filter.role) continue;
    if (verdict >= 0 && !buckets.some((b) => data!.at("verdict", data!.last, b, row) === verdict)) continue;
    if (query && !fits(row)) continue;
    rows.push(row);
  }
  return rows;

  function fits(row: number): boolean {
    const latent = table.latents[row];
    if (digits ? String(latent).startsWith(query) : `latent ${latent}` === query) return true;
    const note = notes.of(latent);
    const text = `${roleName(table, row)}\n${note?.name ?? ""}\n${note?.note ?? ""}\n${notes
      .setsOf(latent)
      .map((set) => set.name)
      .join("\n")}`;
    return text.toLowerCase().includes(query) || !!lens?.(row).includes(query);
  }
}

export const familyOptions = (features: Features): [string, string][] => [
  ["", "any"],
  ...features.roles.map((role): [string, string] => [role, readable(role)]),
];
