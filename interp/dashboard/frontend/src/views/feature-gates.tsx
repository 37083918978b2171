// The gates of a role: what the latent measured at each, whether it passed, and how random latents did.
import { useJson } from "../data";
import { Badge, Loading, Missing } from "../parts";
import { interval, num } from "../text";
import { readable } from "../tokens";
import type { Trial } from "../types";
import type { FeatureProps } from "./feature";

type Gate = "contrast" | "falsification" | "ablation";

export function FeatureGates({ features, latent }: FeatureProps) {
  const trials = useJson<Trial[]>(features.trials);
  if (!features.trials) return <Missing what="roles, so no gates were run" />;
  if (!trials) return <Loading />;
  const own = trials.filter((trial) => trial.latent === latent).sort((a, b) => Number(b.passes.all) - Number(a.passes.all));
  if (!own.length)
    return <p class="muted">This latent was no candidate for a role and not among the random ones: no gate was run on it.</p>;
  return (
    <>
      {own.map((trial, i) => (
        <TrialTable key={i} trial={trial} random={randomBeside(trials, trial)} />
      ))}
    </>
  );
}

/** Random latents of the same contrast; of the same family, or all of them, if that contrast had none. */
function randomBeside(trials: readonly Trial[], trial: Trial): Trial[] {
  const random = trials.filter((each) => each.group === "random" && each !== trial);
  const same = random.filter((each) => each.family === trial.family && each.contrast === trial.contrast);
  const family = random.filter((each) => each.family === trial.family);
  return same.length ? same : family.length ? family : random;
}

const estimate = (trial: Trial): string =>
  interval({ value: trial.ablation, low: trial.ablation_low, high: trial.ablation_high });

/** What each gate measures. */
const GATES: [Gate, [string, (trial: Trial) => number | null, ((trial: Trial) => string)?][]][] = [
  [
    "contrast",
    [
      ["AUROC", (t) => t.auroc],
      ["d", (t) => t.d],
      ["q", (t) => t.q],
    ],
  ],
  [
    "falsification",
    [
      ["AUROC on another surface", (t) => t.other_surface_auroc],
      ["d of injected tokens", (t) => t.injection_d],
      ["share left when shuffled", (t) => t.shuffled_share],
    ],
  ],
  [
    "ablation",
    [
      ["effect of ablating", (t) => t.ablation, estimate],
      ["effect of amplifying", (t) => t.amplification],
    ],
  ],
];

function TrialTable({ trial, random }: { trial: Trial; random: Trial[] }) {
  return (
    <div class="trial">
      <p>
        {trial.group === "random" ? "A random latent, tried as " : "Candidate for "}
        <strong>{readable(trial.family)}</strong>
        {trial.contrast && <span class="muted">, contrast: {readable(trial.contrast)}</span>}{" "}
        <Passed passed={trial.passes.all} words={["earned the role", "did not earn it"]} />
      </p>
      <div class="scroll-x">
        <table class="gates">
          <thead>
            <tr>
              <th scope="col">gate and measure</th>
              <th scope="col" class="right">
                this latent
              </th>
              <th scope="col" class="right">
                random latents: median [range]
              </th>
            </tr>
          </thead>
          {GATES.map(([gate, measures]) => (
            <tbody key={gate}>
              <tr class="gate">
                <th scope="rowgroup">{gate}</th>
                <td class="right">
                  <Passed passed={trial.passes[gate]} words={["passed", "failed"]} />
                </td>
                <td class="right">{passShare(random, gate)}</td>
              </tr>
              {measures.map(([name, measure, text]) => (
                <tr key={name}>
                  <td>{name}</td>
                  <td class="right">{text ? text(trial) : num(measure(trial))}</td>
                  <td class="right muted">{range(random.map(measure))}</td>
                </tr>
              ))}
            </tbody>
          ))}
        </table>
      </div>
    </div>
  );
}

function Passed({ passed, words }: { passed: boolean | null; words: [string, string] }) {
  if (passed == null) return <Badge>not run</Badge>;
  return <Badge kind={passed ? "yes" : "no"}>{passed ? words[0] : words[1]}</Badge>;
}

function passShare(random: readonly Trial[], gate: Gate): string {
  const run = random.filter((trial) => trial.passes[gate] != null);
  if (!run.length) return "–";
  const passed = run.filter((trial) => trial.passes[gate]).length;
  return `${passed} of ${run.length} pass`;
}

function range(values: (number | null)[]): string {
  const sorted = values.filter((value): value is number => value != null && Number.isFinite(value)).sort((a, b) => a - b);
  if (!sorted.length) return "–";
  const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  return `${num(middle)} [${num(sorted[0])}, ${num(sorted[sorted.length - 1])}]`;
}
