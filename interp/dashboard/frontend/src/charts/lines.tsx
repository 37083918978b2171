// Lines with a band for their intervals, over steps.
import { hueClass } from "../colors";
import { interval, num } from "../text";
import { cut, extent, linearAxis, withTicksAt, type Axis } from "./axis";
import { Figure, type LegendEntry, type Numbers } from "./figure";

export interface Point {
  x: number;
  y: number | null;
  low?: number | null;
  high?: number | null;
  note?: string;
  /** Whether a test found something here: false draws the dot hollow. */
  marked?: boolean;
}

export interface LineSeries {
  name: string;
  points: Point[];
  /** 0 to 7. */
  hue: number;
  dashed?: boolean;
}

export interface LinesProps {
  title: string;
  description: string;
  series: LineSeries[];
  xName?: string;
  yName?: string;
  /** Bands across the whole chart, e.g. base against base sampled again. */
  floors?: { name: string; low: number | null; high: number | null; hue: number }[];
  /** Below the axis: a cell per position, e.g. drift of the dictionary. */
  strip?: { name: string; cells: { x: number; bad: boolean; text: string }[] };
  /** A fixed range of y, e.g. [0, 1] for shares. */
  range?: [number, number];
  zero?: boolean;
  height?: number;
  legend?: boolean;
  note?: string;
  level?: 3 | 4;
  untitled?: boolean;
  saveAs?: string;
  /** Labels of positions, where steps alone would not say it. */
  labels?: Map<number, string>;
}

const LEFT = 46;
const RIGHT = 10;
const TOP = 8;
/** Pixels between the whiskers of two series. */
const DODGE = 6;
const finite = (x: number | null | undefined): x is number => x != null && Number.isFinite(x);

export function Lines(props: LinesProps) {
  const { series, floors = [], strip, height = 190 } = props;
  const bottom = 22 + (props.xName ? 14 : 0) + (strip ? 12 : 0);
  const xs = [...new Set(series.flatMap((s) => s.points.map((p) => p.x)))].sort((a, b) => a - b);
  const values = series.flatMap((s) => s.points.flatMap((p) => [p.y, p.low, p.high]));
  for (const floor of floors) values.push(floor.low, floor.high);
  if (props.zero) values.push(0);
  const yRange = props.range ?? extent(values);
  // With few steps, bands would cover each other: whiskers side by side.
  const few = xs.length <= 4 && series.length > 1;
  const dodge = (i: number): number => (few ? Math.abs(((series.length - 1) / 2 - i) * DODGE) : 0);
  const axes = (width: number): [Axis, Axis] => [
    withTicksAt(linearAxis(extent(xs), LEFT + 4 + dodge(0), width - RIGHT - 4 - dodge(0), Math.max(2, width / 80), 0), xs, 38),
    linearAxis(yRange, height - bottom, TOP, 4, props.range ? 0.02 : 0.06),
  ];
  const numbers = (): Numbers => ({
    head: [props.xName ?? "step", "series", props.yName ?? "value", "low", "high"],
    rows: series.flatMap((s) => s.points.map((p) => [p.x, s.name, p.y, p.low, p.high])),
  });
  const legend: LegendEntry[] = series.map((s) => ({ name: s.name, class: hueClass(s.hue), kind: s.dashed ? "dashed" : "line" }));
  const floorNames = [...new Set(floors.map((f) => f.name))];
  for (const name of floorNames) legend.push({ name, class: "floor-key", kind: "box" });
  if (strip)
    legend.push(
      { name: `${strip.name}: trusted`, class: "strip-good", kind: "box" },
      { name: "not trusted", class: "strip-bad", kind: "box" },
    );
  return (
    <Figure
      title={props.title}
      description={props.description}
      height={height}
      numbers={numbers}
      note={props.note}
      level={props.level}
      untitled={props.untitled}
      saveAs={props.saveAs}
      legend={props.legend === false ? undefined : legend}
      onMove={(x, _y, width) => {
        const [xAxis] = axes(width);
        const nearest = nearestOf(xs, x, xAxis);
        if (nearest === null) return "";
        const at = props.labels?.get(nearest) ?? `${props.xName ?? "step"} ${num(nearest, 0)}`;
        const lines = series.map((s) => {
          const point = s.points.find((p) => p.x === nearest);
          return point && finite(point.y)
            ? `${s.name}: ${interval({ value: point.y, low: point.low ?? null, high: point.high ?? null })}${point.note ? ` ${point.note}` : ""}`
            : "";
        });
        const cell = strip?.cells.find((c) => c.x === nearest);
        return [at, ...lines, cell?.text].filter(Boolean).join("\n");
      }}
      draw={(width) => {
        const [x, y] = axes(width);
        const floorY = height - bottom;
        return (
          <>
            <YAxis axis={y} left={LEFT} right={width - RIGHT} />
            <XAxis axis={x} top={floorY + (strip ? 12 : 0)} name={props.xName} middle={(LEFT + width) / 2} />
            {floors.map((f) =>
              finite(f.low) && finite(f.high) ? (
                <rect
                  class={`floor ${hueClass(f.hue)}`}
                  x={LEFT}
                  width={width - RIGHT - LEFT}
                  y={y.at(f.high)}
                  height={Math.max(1, y.at(f.low) - y.at(f.high))}
                />
              ) : null,
            )}
            {props.zero && <line class="zero" x1={LEFT} x2={width - RIGHT} y1={y.at(0)} y2={y.at(0)} />}
            {strip?.cells.map((cell) => (
              <rect class={cell.bad ? "strip-bad" : "strip-good"} x={x.at(cell.x) - 5} width={10} y={floorY + 4} height={5} />
            ))}
            {series.map((s, i) => (
              <Series series={s} x={x} y={y} whiskers={few} shift={few ? (i - (series.length - 1) / 2) * DODGE : 0} />
            ))}
          </>
        );
      }}
    />
  );
}

function nearestOf(xs: number[], pixel: number, axis: Axis): number | null {
  let best: number | null = null;
  for (const x of xs) if (best === null || Math.abs(axis.at(x) - pixel) < Math.abs(axis.at(best) - pixel)) best = x;
  return best;
}

interface SeriesProps {
  series: LineSeries;
  x: Axis;
  y: Axis;
  /** Intervals as lines at each point, not as one band. */
  whiskers: boolean;
  /** Pixels to the right. */
  shift: number;
}

function Series({ series, x, y, whiskers, shift }: SeriesProps) {
  const points = series.points.filter((p) => finite(p.y)).sort((a, b) => a.x - b.x);
  const banded = points.filter((p) => finite(p.low) && finite(p.high));
  const left = (px: number) => (x.at(px) + shift).toFixed(1);
  const place = (px: number, value: number) => `${left(px)},${y.at(value).toFixed(1)}`;
  const path = points.map((p) => place(p.x, p.y as number));
  const band = whiskers
    ? []
    : [...banded.map((p) => place(p.x, p.high as number)), ...banded.reverse().map((p) => place(p.x, p.low as number))];
  return (
    <g class={hueClass(series.hue)}>
      {band.length > 2 && <polygon class="band" points={band.join(" ")} />}
      {whiskers &&
        banded.map((p) => <polyline class="whisker" points={`${place(p.x, p.low as number)} ${place(p.x, p.high as number)}`} />)}
      {band.length === 2 && <polyline class="whisker" points={band.join(" ")} />}
      {path.length > 1 && <polyline class={`line ${series.dashed ? "dashed" : ""}`} points={path.join(" ")} />}
      {points.length <= 40 &&
        points.map((p) => (
          <circle
            class={p.marked === false ? "dot hollow" : "dot"}
            cx={left(p.x)}
            cy={y.at(p.y as number).toFixed(1)}
            r={points.length === 1 || p.marked ? 3.4 : 2.2}
          />
        ))}
    </g>
  );
}

export function YAxis({ axis, left, right }: { axis: Axis; left: number; right: number }) {
  return (
    <g class="axis">
      {axis.ticks.map((tick) => (
        <g key={tick}>
          <line class="gridline" x1={left} x2={right} y1={axis.at(tick)} y2={axis.at(tick)} />
          <text x={left - 6} y={axis.at(tick)} text-anchor="end" dominant-baseline="middle">
            {axis.format(tick)}
          </text>
        </g>
      ))}
    </g>
  );
}

export function XAxis({ axis, top, name, middle }: { axis: Axis; top: number; name?: string; middle: number }) {
  return (
    <g class="axis">
      {axis.ticks.map((tick) => (
        <text key={tick} x={axis.at(tick)} y={top + 14} text-anchor="middle">
          {axis.format(tick)}
        </text>
      ))}
      {name && (
        <text class="axis-name" x={middle} y={top + 29} text-anchor="middle">
          {cut(name, 60)}
        </text>
      )}
    </g>
  );
}
