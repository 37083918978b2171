// A comparison made here, from rollouts: two checkpoints, paired by the problems that both answered.
import { useMemo } from "preact/hooks";
import { useAddress } from "../address";
import type { Report } from "../data";
import { Choice, Loading, Missing } from "../parts";
import { pairedRows, writersOf } from "../rollouts/checkpoints";
import { checkpointWord } from "../rollouts/filters";
import { FEWEST_PROBLEMS } from "../rollouts/paired";
import type { RolloutStore } from "../rollouts/store";
import { count, plural } from "../text";
import { readable } from "../tokens";
import { BehaviorTable, type BehaviorRow } from "./compare-behavior";
import { useStore } from "./rollouts-parts";

export function RolloutComparison({ report }: { report: Report }) {
  const store = useStore(report);
  return store ? <Chosen store={store} /> : <Loading />;
}

function Chosen({ store }: { store: RolloutStore }) {
  const [address, go] = useAddress();
  const writers = useMemo(() => writersOf(store), [store]);
  const checkpoints = [...writers.keys()].sort((a, b) => a - b);
  const options = checkpoints.map((each): [string, string] => {
    return [String(each), `${readable(checkpointWord(store, each))} (${count(writers.get(each))})`];
  });
  if (checkpoints.length < 2) return <Missing what="second checkpoint with rollouts" why="A comparison needs two." />;
  const pick = (asked: unknown, otherwise: number) => (writers.has(Number(asked)) && asked !== undefined ? Number(asked) : otherwise);
  const a = pick(address.a, checkpoints[0]);
  const b = pick(address.b, checkpoints[checkpoints.length - 1]);
  return (
    <>
      <div class="toolbar">
        <Choice label="A" value={String(a)} options={options} onChange={(value) => go({ a: value })} />
        <Choice label="B" value={String(b)} options={options} onChange={(value) => go({ b: value })} />
      </div>
      {a === b ? <p class="missing">A and B are the same checkpoint: choose two.</p> : <Pairs store={store} a={a} b={b} />}
    </>
  );
}

function Pairs({ store, a, b }: { store: RolloutStore; a: number; b: number }) {
  const paired = useMemo(() => pairedRows(store, a, b), [store, a, b]);
  const rows = useMemo(
    () =>
      paired.map((row): BehaviorRow => {
        const { value, low, high, p, n } = row.difference;
        return { ...row, difference: value, difference_low: low, difference_high: high, p, n };
      }),
    [paired],
  );
  const problems = paired[0]?.difference.n ?? 0;
  const names = `${checkpointWord(store, b)} less ${checkpointWord(store, a)}`;
  if (!problems) return <p class="missing">The two have no problem in common: there is nothing to pair.</p>;
  return (
    <section aria-labelledby="paired-heading">
      <h2 id="paired-heading">Behaviour, paired by problem</h2>
      {problems < FEWEST_PROBLEMS && (
        <p class="missing">
          Both answered only {plural(problems, "problem")}. With fewer than {FEWEST_PROBLEMS} there are no intervals: the differences say
          little.
        </p>
      )}
      <BehaviorTable
        rows={rows}
        title={readable(names)}
        note={
          `A difference is B less A: the mean over ${plural(problems, "problem")} that both answered, each problem counted once, with ` +
          "Student's t interval (95%) over problems. Probe text is left out: the base wrote it. q corrects over the rows of this table."
        }
      />
    </section>
  );
}
