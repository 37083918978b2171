// The choice of a colouring and of a latent, and the legend of what is shown.
import { useMemo } from "preact/hooks";
import { linkTo } from "../address";
import type { Report } from "../data";
import { memo } from "../memo";
import { shadeProps } from "../colors";
import { useChunks } from "../data";
import { useNotes } from "../notes";
import type { Coloring, ColoringValues } from "../rollouts/colorings";
import { STATE_WORDS, type Reading } from "../rollouts/reading";
import { num, plural } from "../text";
import { readable } from "../tokens";

interface ColoringBarProps {
  colorings: readonly Coloring[];
  chosen: string;
  onChoose: (key: string) => void;
  /** Why the last choice could not be shown. */
  message: string;
}

export function ColoringBar({ colorings, chosen, onChoose, message }: ColoringBarProps) {
  const further = colorings.filter((each) => !each.digit);
  const unavailable = colorings.filter((each) => each.reason);
  return (
    <>
      <div class="coloring-bar" role="group" aria-label="Colour tokens by">
        {colorings
          .filter((each) => each.digit)
          .map((each) => (
            <button
              key={each.key}
              type="button"
              aria-pressed={each.key === chosen}
              aria-disabled={!!each.reason}
              aria-keyshortcuts={each.digit}
              title={each.reason || each.what}
              onClick={() => onChoose(each.key)}
            >
              <kbd>{each.digit}</kbd> {each.label}
            </button>
          ))}
        {further.length > 0 && (
          <select
            aria-label="Further colourings"
            value={further.some((each) => each.key === chosen) ? chosen : ""}
            onChange={(event) => event.currentTarget.value && onChoose(event.currentTarget.value)}
          >
            <option value="">more …</option>
            {further.map((each) => (
              <option key={each.key} value={each.key} disabled={!!each.reason}>
                {readable(each.label)}
                {each.reason && ": not given here"}
              </option>
            ))}
          </select>
        )}
      </div>
      <p class="sr-only" role="status">
        {message}
      </p>
      {unavailable.length > 0 && (
        <details class="unavailable">
          <summary>{plural(unavailable.length, "colouring")} without data</summary>
          <ul>
            {unavailable.map((each) => (
              <li key={each.key}>
                <b>{readable(each.label)}</b> {readable(each.reason)}
              </li>
            ))}
          </ul>
        </details>
      )}
    </>
  );
}

interface LatentSelectProps {
  report: Report;
  reading: Reading;
  numbers: ArrayLike<number>;
  /** Row of the features. */
  latent: number;
  onChoose: (latent: number) => void;
}

type Option = readonly [latent: number, text: string];

/** Hundreds of options: drawn again only for another rollout or another name. */
const Options = memo(({ options }: { options: readonly Option[] }) => (
  <>
    {options.map(([latent, text]) => (
      <option key={latent} value={latent}>
        {readable(text)}
      </option>
    ))}
  </>
));

export function LatentSelect({ report, reading, numbers, latent, onChoose }: LatentSelectProps) {
  const [notes] = useNotes(report);
  const features = report.index.features;
  const role = useChunks({ it: features?.role })?.it;
  const silent = reading.latents.every((each) => each.row !== latent) ? latent : null;
  const options = useMemo(() => {
    const here = silent === null ? reading.latents : [{ row: silent, peak: 0, tokens: 0 }, ...reading.latents];
    return here.map(({ row, peak, tokens }): Option => {
      const family = role?.[row] ? features?.roles[role[row]] : "";
      const name = [String(numbers[row]), notes.nameOf(numbers[row]), family].filter(Boolean).join(" · ");
      return [numbers[row], `${name} — ${tokens ? `max ${num(peak, 2)} on ${plural(tokens, "token")}` : "silent here"}`];
    });
  }, [reading, numbers, silent, notes, role]);
  return (
    <label class="latent-select">
      latent
      <select value={numbers[latent]} onChange={(event) => onChoose(Number(event.currentTarget.value))}>
        <Options options={options} />
      </select>
      <a href={linkTo({ v: "feature", f: numbers[latent] })}>
        its page <kbd>f</kbd>
      </a>
    </label>
  );
}

export function Legend({ coloring, shown }: { coloring: Coloring; shown: ColoringValues | null }) {
  if (coloring.kind === "steps" && !coloring.reason) return <StepLegend what={coloring.what} />;
  if (!shown) return <p class="shade-legend">{coloring.reason || "No token has a value."}</p>;
  const { scale, format, ends } = shown;
  const [low, high] = ends;
  const up = [0, high / 4, high / 2, (3 * high) / 4, high];
  const swatches = low < 0 ? [low, low / 2, 0, ...(high > 0 ? [high / 2, high] : [])] : up;
  return (
    <div class="shade-legend">
      <span class="ramp">
        <span>{format(low)}</span>
        {swatches.map((value, i) => (
          <span key={i} aria-hidden="true" {...swatchProps(value, scale)} />
        ))}
        <span>
          {format(high)} {coloring.unit}
        </span>
      </span>
      <span class="muted">{coloring.what}</span>
    </div>
  );
}

function swatchProps(value: number, scale: ColoringValues["scale"]) {
  const props = shadeProps(value, scale);
  return { ...props, class: `swatch ${props.class}` };
}

function StepLegend({ what }: { what: string }) {
  return (
    <div class="shade-legend">
      {["right", "bad", "undue"].map((name, i) => (
        <span key={name} class="legend-step">
          <span class={`token step filled ${name}`}>abc</span> {STATE_WORDS[i + 1]}
        </span>
      ))}
      <span class="muted">{what}</span>
    </div>
  );
}
