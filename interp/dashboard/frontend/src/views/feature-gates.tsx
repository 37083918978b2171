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
  const own = trials.filter((trial) => trial.latent === latent);
  if (!own.length) return <p class="muted">This latent was no candidate for a role and not among the random ones: no gate was run on it.</p>;
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

function TrialTable({ trial, random }: { trial: Trial; random: Trial[] }) {
  const rows: [Gate, string, string, (each: Trial) => number | null][] = [
    ["contrast", "AUROC", num(trial.auroc), (each) => each.auroc],
    ["contrast", "d", num(trial.d), (each) => each.d],
    ["contrast", "q", num(trial.q), (each) => each.q],
    ["falsification", "AUROC, other surface", num(trial.other_surface_auroc), (each) => each.other_surface_auroc],
    ["falsification", "d of injected tokens", num(trial.injection_d), (each) => each.injection_d],
    ["falsification", "share when shuffled", num(trial.shuffled_share), (each) => each.shuffled_share],
    ["ablation", "effect of ablating", interval({ value: trial.ablation, low: trial.ablation_low, high: trial.ablation_high }), (each) => each.ablation],
    ["ablation", "effect of amplifying", num(trial.amplification), (each) => each.amplification],
  ];
  return (
    <div class="trial">
      <p>
        {trial.group === "random" ? "A random latent, tried as " : "Candidate for "}
        <strong>{readable(trial.family)}</strong>
        {trial.contrast && <span class="muted">, contrast: {readable(trial.contrast)}</span>} <Passed passed={trial.passes.all} words={["earned the role", "did not earn it"]} />
      </p>
      <div class="scroll-x">
        <table>
          <thead>
            <tr>
              <th scope="col">gate</th>
              <th scope="col">passed</th>
              <th scope="col">random pass</th>
              <th scope="col">measure</th>
              <th scope="col" class="right">this latent</th>
              <th scope="col" class="right">random: median [range]</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([gate, name, text, measure], i) => {
              const first = i === 0 || rows[i - 1][0] !== gate;
              return (
                <tr key={name} class={first ? "first" : ""}>
                  <td>{first ? gate : <span class="sr-only">{gate}</span>}</td>
                  <td>{first && <Passed passed={trial.passes[gate]} words={["passed", "failed"]} />}</td>
                  <td>{first && passShare(random, gate)}</td>
                  <td>{name}</td>
                  <td class="right nowrap">{text}</td>
                  <td class="right nowrap muted">{range(random.map(measure))}</td>
                </tr>
              );
            })}
          </tbody>
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
  return `${passed} of ${run.length}`;
}

function range(values: (number | null)[]): string {
  const sorted = values.filter((value): value is number => value != null && Number.isFinite(value)).sort((a, b) => a - b);
  if (!sorted.length) return "–";
  const middle = (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
  return `${num(middle)} [${num(sorted[0])}, ${num(sorted[sorted.length - 1])}]`;
}
