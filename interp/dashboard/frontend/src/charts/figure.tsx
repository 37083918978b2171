// The frame of a chart: title, description, legend, the drawing or its numbers, and files to save.
import type { ComponentChildren } from "preact";
import { useId, useRef, useState } from "preact/hooks";
import { useWidth } from "../scroll";
import { downloadCsv, type Cell, num } from "../text";
import { savePng, saveSvg } from "./save";

export interface Numbers {
  head: string[];
  rows: Cell[][];
}

export interface LegendEntry {
  name: string;
  class: string;
  kind?: "line" | "box" | "dot" | "dashed";
}

export interface FigureProps {
  title: string;
  /** What the chart shows, in a sentence, for those who do not see it. */
  description: string;
  height: number;
  numbers: () => Numbers;
  draw: (width: number) => ComponentChildren;
  legend?: LegendEntry[];
  /** A line below: units, n, what a band is. */
  note?: ComponentChildren;
  level?: 3 | 4;
  /** Without a title on the page (a heading stands above it already). */
  untitled?: boolean;
  width?: number;
  /** The title in saved files, where what stands around the chart is missing. */
  saveAs?: string;
  onMove?: (x: number, y: number, width: number) => string;
}

const MOST_ROWS = 400;

export function Figure(props: FigureProps) {
  const { title, description, height, numbers, draw, legend, note, level = 3, saveAs = title } = props;
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame, props.width ?? 420);
  const [table, setTable] = useState(false);
  const [readout, setReadout] = useState<{ text: string; x: number; y: number } | null>(null);
  const id = useId();
  const Heading = `h${level}` as "h3";
  const svg = () => frame.current!.querySelector("svg")!;
  const move = (event: MouseEvent) => {
    const box = svg()?.getBoundingClientRect();
    if (!box || !props.onMove) return;
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const text = props.onMove(x, y, width);
    setReadout(text ? { text, x, y } : null);
  };
  return (
    <figure class="figure">
      <figcaption class="figure-head">
        {props.untitled ? <span /> : <Heading>{title}</Heading>}
        <span class="actions">
          <button
            type="button"
            class="quiet"
            aria-pressed={table}
            aria-label={`${title}: show as table`}
            onClick={() => setTable(!table)}
          >
            {table ? "chart" : "table"}
          </button>
          {table ? null : <SaveButton label="SVG" title={title} onClick={() => saveSvg(svg(), saveAs)} />}
          {table ? null : <SaveButton label="PNG" title={title} onClick={() => void savePng(svg(), saveAs)} />}
          <SaveButton label="CSV" title={title} onClick={() => downloadCsv(saveAs, numbers().head, numbers().rows)} />
        </span>
      </figcaption>
      <div ref={frame} class="figure-body" onMouseMove={table ? undefined : move} onMouseLeave={() => setReadout(null)}>
        {table ? (
          <NumberTable numbers={numbers()} label={title} />
        ) : (
          <svg role="img" aria-labelledby={`${id}t ${id}d`} viewBox={`0 0 ${width} ${height}`} width={width} height={height}>
            <title id={`${id}t`}>{title}</title>
            <desc id={`${id}d`}>{description}</desc>
            {draw(width)}
          </svg>
        )}
        {readout && !table && (
          <div
            class="readout"
            aria-hidden="true"
            style={{
              top: `${readout.y + 14}px`,
              ...(readout.x > width / 2 ? { right: `${width - readout.x + 10}px` } : { left: `${readout.x + 12}px` }),
            }}
          >
            {readout.text}
          </div>
        )}
      </div>
      {legend && legend.length > 0 && !table && (
        <ul class="legend" aria-label={`${title}: legend`}>
          {legend.map((entry) => (
            <li key={entry.name}>
              <i class={`key ${entry.kind ?? "line"} ${entry.class}`} aria-hidden="true" />
              {entry.name}
            </li>
          ))}
        </ul>
      )}
      {note && <p class="note">{note}</p>}
    </figure>
  );
}

function SaveButton({ label, title, onClick }: { label: string; title: string; onClick: () => void }) {
  return (
    <button type="button" class="quiet" aria-label={`${title}: save ${label}`} onClick={onClick}>
      {label}
    </button>
  );
}

export function NumberTable({ numbers, label }: { numbers: Numbers; label: string }) {
  const { head, rows } = numbers;
  return (
    <div class="numbers" role="region" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head.map((name) => (
              <th scope="col" key={name}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.slice(0, MOST_ROWS).map((row, i) => (
            <tr key={i}>
              {row.map((cell, j) => (
                <td key={j} class={typeof cell === "number" ? "right" : ""}>
                  {typeof cell === "number" ? (Number.isInteger(cell) ? String(cell) : num(cell)) : (cell ?? "–")}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length > MOST_ROWS && (
        <p class="note">
          The first {MOST_ROWS} of {rows.length} rows; the CSV file has all.
        </p>
      )}
    </div>
  );
}
