// What the cell under the pointer or the focus says: a tooltip, and the same in a live region.
import type { RefObject } from "preact";
import { useImperativeHandle, useState } from "preact/hooks";
import { roleName, type FeatureTable } from "../features/rows";
import type { TrackData } from "../features/track";
import { interval, num, signed } from "../text";
import { readable } from "../tokens";
import { driftText, parseColumn } from "./features-columns";

export interface TipHandle {
  show(row: number | null, column: string | null, element: HTMLElement | null): void;
}

interface Tip {
  row: number;
  column: string;
  left: number;
  top: number;
  above: boolean;
}

export function CellTip({ handle, table, data }: { handle: RefObject<TipHandle>; table: FeatureTable; data: TrackData }) {
  const [tip, setTip] = useState<Tip | null>(null);
  useImperativeHandle(
    handle,
    () => ({
      show(row, column, element) {
        if (row === null || !column || !element || !parseColumn(column)) return setTip(null);
        const box = element.getBoundingClientRect();
        const above = box.bottom > innerHeight - 150;
        setTip({ row, column, left: Math.min(box.left, innerWidth - 340), top: above ? box.top - 6 : box.bottom + 6, above });
      },
    }),
    [],
  );
  const lines = tip ? linesOf(table, data, tip.row, tip.column) : [];
  return (
    <>
      <div class="sr-only" aria-live="polite">
        {lines.join(". ")}
      </div>
      {tip && (
        <div class={`tip ${tip.above ? "above" : ""}`} aria-hidden="true" style={{ left: `${tip.left}px`, top: `${tip.top}px` }}>
          {lines.map((line, i) => (
            <div key={i} class={i ? "" : "strong"}>
              {line}
            </div>
          ))}
        </div>
      )}
    </>
  );
}

function linesOf(table: FeatureTable, data: TrackData, row: number, column: string): string[] {
  const { bucket, place } = parseColumn(column)!;
  const name = `latent ${table.latents[row]} (${readable(roleName(table, row))}), ${readable(data.index.buckets[bucket])}`;
  const floor = `floor ${interval(data.floor(bucket, row), signed)}`;
  if (place === null) return [name, floor, "the base against the base sampled again"];
  const cell = data.cell(place, bucket, row);
  return [
    `${name}, ${readable(data.label(place))}`,
    `change ${interval({ value: cell.change, low: cell.low, high: cell.high }, signed)}, q = ${num(cell.q)}`,
    `level ${num(cell.level)}; ${readable(cell.verdict) || "no verdict"}`,
    floor,
    driftText(data, place, bucket),
  ];
}
