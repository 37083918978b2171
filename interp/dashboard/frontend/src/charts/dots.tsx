// Dots with intervals, one row each, on a common axis.
import { hueClass } from "../colors";
import { interval } from "../text";
import { cut, extent, linearAxis } from "./axis";
import { Figure, type LegendEntry } from "./figure";
import { XAxis } from "./lines";

export interface DotRow {
  name: string;
  value: number | null;
  low?: number | null;
  high?: number | null;
  hue?: number;
  /** Small marks beside it, e.g. the same measure of matched random latents. */
  others?: readonly number[];
  note?: string;
}

export interface DotsProps {
  title: string;
  description: string;
  rows: DotRow[];
  xName?: string;
  range?: [number, number];
  /** A line at zero. */
  zero?: boolean;
  legend?: LegendEntry[];
  note?: string;
  level?: 3 | 4;
  untitled?: boolean;
  saveAs?: string;
  /** Characters that names may take. */
  nameWidth?: number;
}

const LINE = 22;
const finite = (x: number | null | undefined): x is number => x != null && Number.isFinite(x);

export function Dots(props: DotsProps) {
  const { rows } = props;
  const height = rows.length * LINE + 26 + (props.xName ? 14 : 0);
  const longest = Math.min(props.nameWidth ?? 44, Math.max(4, ...rows.map((r) => r.name.length)));
  const values = rows.flatMap((r) => [r.value, r.low, r.high, ...(r.others ?? [])]);
  if (props.zero) values.push(0);
  return (
    <Figure
      title={props.title}
      description={props.description}
      height={height}
      level={props.level}
      untitled={props.untitled}
      saveAs={props.saveAs}
      note={props.note}
      legend={props.legend}
      numbers={() => ({
        head: ["name", props.xName ?? "value", "low", "high", "others"],
        rows: rows.map((r) => [r.name, r.value, r.low, r.high, (r.others ?? []).join(" ")]),
      })}
      onMove={(_x, y) => {
        const row = rows[Math.floor((y - 4) / LINE)];
        if (!row) return "";
        return `${row.name}\n${interval({ value: row.value, low: row.low ?? null, high: row.high ?? null })}${row.note ? `\n${row.note}` : ""}`;
      }}
      draw={(width) => {
        const left = Math.min(width * 0.48, longest * 6.6 + 10);
        const x = linearAxis(props.range ?? extent(values), left + 8, width - 12, Math.max(2, (width - left) / 70));
        return (
          <>
            {x.ticks.map((tick) => (
              <line class="gridline" x1={x.at(tick)} x2={x.at(tick)} y1={2} y2={rows.length * LINE + 4} />
            ))}
            {props.zero && <line class="zero" x1={x.at(0)} x2={x.at(0)} y1={2} y2={rows.length * LINE + 4} />}
            <XAxis axis={x} top={rows.length * LINE + 4} name={props.xName} middle={(left + width) / 2} />
            {rows.map((row, i) => {
              const y = 4 + (i + 0.5) * LINE;
              return (
                <g class={hueClass(row.hue ?? 0)}>
                  <text x={left - 4} y={y} text-anchor="end" dominant-baseline="middle">
                    {cut(row.name, Math.floor(left / 6.4))}
                  </text>
                  {row.others?.map(
                    (value) => finite(value) && <line class="other" x1={x.at(value)} x2={x.at(value)} y1={y - 5} y2={y + 5} />,
                  )}
                  {finite(row.low) && finite(row.high) && (
                    <line class="whisker" x1={x.at(row.low)} x2={x.at(row.high)} y1={y} y2={y} />
                  )}
                  {finite(row.value) && <circle class="dot" cx={x.at(row.value)} cy={y} r={3.6} />}
                </g>
              );
            })}
          </>
        );
      }}
    />
  );
}
