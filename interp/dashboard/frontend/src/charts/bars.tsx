// Bars: a histogram, or one bar per name.
import { hueClass } from "../colors";
import { num } from "../text";
import { cut, extent, linearAxis } from "./axis";
import { Figure } from "./figure";
import { YAxis } from "./lines";

export interface Bar {
  name: string;
  value: number | null;
  hue?: number;
  note?: string;
}

export interface BarsProps {
  title: string;
  description: string;
  bars: Bar[];
  xName?: string;
  yName?: string;
  height?: number;
  note?: string;
  level?: 3 | 4;
  untitled?: boolean;
  saveAs?: string;
}

const LEFT = 46;

export function Bars(props: BarsProps) {
  const { bars, height = 150 } = props;
  const bottom = 20 + (props.xName ? 14 : 0);
  const [low, high] = extent([0, ...bars.map((b) => b.value)]);
  return (
    <Figure
      title={props.title}
      description={props.description}
      height={height}
      level={props.level}
      untitled={props.untitled}
      saveAs={props.saveAs}
      note={props.note}
      numbers={() => ({ head: [props.xName ?? "name", props.yName ?? "value"], rows: bars.map((b) => [b.name, b.value]) })}
      onMove={(x, _y, width) => {
        const bar = bars[Math.floor(((x - LEFT) / (width - LEFT - 8)) * bars.length)];
        return bar ? `${bar.name}: ${num(bar.value)}${bar.note ? `\n${bar.note}` : ""}` : "";
      }}
      draw={(width) => {
        const y = linearAxis(low === high ? [0, 1] : [low, high], height - bottom, 8, 3, 0);
        const step = (width - LEFT - 8) / Math.max(1, bars.length);
        const every = Math.max(1, Math.ceil(bars.length / Math.max(1, (width - LEFT) / 56)));
        const zero = y.at(0);
        return (
          <>
            <YAxis axis={y} left={LEFT} right={width - 8} />
            {bars.map((bar, i) => {
              const top = bar.value != null && Number.isFinite(bar.value) ? y.at(bar.value) : zero;
              return (
                <g class={hueClass(bar.hue ?? 0)}>
                  <rect
                    class="bar"
                    x={LEFT + i * step + 0.5}
                    width={Math.max(1, step - 1)}
                    y={Math.min(top, zero)}
                    height={Math.abs(zero - top)}
                  />
                  {i % every === 0 && (
                    <text x={LEFT + (i + 0.5) * step} y={height - bottom + 14} text-anchor="middle">
                      {cut(bar.name, Math.max(4, Math.floor((step * every) / 6.4)))}
                    </text>
                  )}
                </g>
              );
            })}
            {props.xName && (
              <text class="axis-name" x={(LEFT + width) / 2} y={height - 3} text-anchor="middle">
                {cut(props.xName, 60)}
              </text>
            )}
          </>
        );
      }}
    />
  );
}
