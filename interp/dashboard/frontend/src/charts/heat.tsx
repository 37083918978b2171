// Heat cells: one value per row and column, coloured by a scale, marked where a test says so.
import { shadeClass, type Scale } from "../colors";
import { interval, signed } from "../text";
import { cut } from "./axis";
import { Figure } from "./figure";

export interface HeatCell {
  value: number | null;
  low?: number | null;
  high?: number | null;
  marked?: boolean;
}

export interface HeatProps {
  title: string;
  description: string;
  rows: string[];
  columns: string[];
  cells: HeatCell[][];
  scale: Scale;
  note?: string;
  level?: 3 | 4;
  untitled?: boolean;
  saveAs?: string;
}

const LINE = 20;
const finite = (x: number | null | undefined): x is number => x != null && Number.isFinite(x);

export function Heat({ rows, columns, cells, scale, ...props }: HeatProps) {
  const height = rows.length * LINE + 22;
  const left = Math.max(4, ...rows.map((r) => Math.min(30, r.length))) * 6.6 + 10;
  const place = (x: number, y: number, width: number): [number, number] => [
    Math.floor((y - 2) / LINE),
    Math.floor(((x - left) / (width - left - 4)) * columns.length),
  ];
  return (
    <Figure
      {...props}
      height={height}
      numbers={() => ({
        head: ["row", "column", "value", "low", "high", "marked"],
        rows: rows.flatMap((row, i) =>
          columns.map((column, j) => [row, column, cells[i][j].value, cells[i][j].low, cells[i][j].high, !!cells[i][j].marked]),
        ),
      })}
      onMove={(x, y, width) => {
        const [i, j] = place(x, y, width);
        const cell = cells[i]?.[j];
        return cell
          ? `${rows[i]}, ${columns[j]}\n${interval({ value: cell.value, low: cell.low ?? null, high: cell.high ?? null }, signed)}`
          : "";
      }}
      draw={(width) => {
        const step = (width - left - 4) / Math.max(1, columns.length);
        const every = Math.max(1, Math.ceil(40 / step));
        return (
          <>
            {rows.map((row, i) => (
              <text x={left - 6} y={2 + (i + 0.5) * LINE} text-anchor="end" dominant-baseline="middle">
                {cut(row, 30)}
              </text>
            ))}
            {cells.map((line, i) =>
              line.map((cell, j) => (
                <g>
                  <rect
                    class={`heat ${shadeClass(cell.value, scale)}`}
                    x={left + j * step}
                    y={2 + i * LINE}
                    width={Math.max(1, step - 1)}
                    height={LINE - 1}
                  />
                  {cell.marked && finite(cell.value) && (
                    <circle class="mark" cx={left + (j + 0.5) * step} cy={2 + (i + 0.5) * LINE} r={2} />
                  )}
                </g>
              )),
            )}
            {columns.map((column, j) =>
              j % every === 0 ? (
                <text x={left + (j + 0.5) * step} y={height - 5} text-anchor="middle">
                  {cut(column, Math.max(3, Math.floor((step * every) / 6.4)))}
                </text>
              ) : null,
            )}
          </>
        );
      }}
    />
  );
}
