// Rollouts where the latent is active, from its strongest activations down, each as the tokens around the peak.
import { useMemo, useState } from "preact/hooks";
import { linkTo } from "../address";
import type { Scale } from "../colors";
import { useChunks } from "../data";
import { Loading, Missing } from "../parts";
import { Reading } from "../rollouts/reading";
import type { RolloutStore } from "../rollouts/store";
import { num } from "../text";
import { readable } from "../tokens";
import { TokenLine } from "../tokenline";
import type { FeatureProps } from "./feature";
import { OutcomeBadge, usePromise, useStore } from "./rollouts-parts";

interface Example {
  rollout: number;
  position: number;
  value: number;
  quantile: string;
  corpus: string;
}

const BEFORE = 24;
const AFTER = 16;
const AT_FIRST = 4;

export function FeatureExamples(props: FeatureProps) {
  const { examples } = props.features;
  if (!examples || !props.report.index.rollouts?.count) return <Missing what="rollouts of this latent" />;
  return <Examples {...props} examples={examples} />;
}

function Examples({
  report,
  features,
  row,
  latent,
  table,
  examples,
}: FeatureProps & { examples: NonNullable<FeatureProps["features"]["examples"]> }) {
  const chunks = useChunks({ rollout: examples.rollout, position: examples.position, value: examples.value });
  const store = useStore(report);
  const list = useMemo(() => {
    if (!chunks) return [];
    const per = chunks.rollout.length / features.count;
    const all: Example[] = [];
    for (let i = 0; i < per; i++) {
      const at = row * per + i;
      if (chunks.rollout[at] < 0) continue;
      all.push({
        rollout: chunks.rollout[at],
        position: chunks.position[at],
        value: chunks.value[at],
        quantile: examples.quantile[i] ?? "",
        corpus: examples.corpus[i] ?? "",
      });
    }
    return all;
  }, [!!chunks, row]);
  if (!chunks || !store) return <Loading />;
  if (!list.length) return <p class="muted">It is active in none of the rollouts that this report holds.</p>;
  const corpora = [...new Set(list.map((each) => each.corpus))];
  const max = Math.max(table.max[row] || 0, ...list.map((each) => each.value)) || 1;
  return (
    <div class={`corpora ${corpora.length > 1 ? "two-columns" : ""}`}>
      {corpora.map((corpus) => (
        <div key={corpus}>
          <h4>{readable(corpus) || "rollouts"}</h4>
          <Quantiles store={store} latent={latent} row={row} max={max} examples={list.filter((each) => each.corpus === corpus)} />
        </div>
      ))}
    </div>
  );
}

interface QuantilesProps {
  store: RolloutStore;
  latent: number;
  row: number;
  max: number;
  examples: Example[];
}

function Quantiles({ examples, ...rest }: QuantilesProps) {
  const [open, setOpen] = useState<string[]>([]);
  const quantiles = [...new Set(examples.map((each) => each.quantile))];
  return (
    <>
      {quantiles.map((quantile) => {
        const all = examples.filter((each) => each.quantile === quantile);
        const shown = open.includes(quantile) ? all : all.slice(0, AT_FIRST);
        return (
          <div key={quantile} class="quantile">
            <p class="quantile-name muted">{readable(quantile)}</p>
            {shown.map((example, i) => (
              <ExampleLine key={i} example={example} {...rest} />
            ))}
            {shown.length < all.length && (
              <button type="button" class="quiet" onClick={() => setOpen([...open, quantile])}>
                {all.length - shown.length} more
              </button>
            )}
          </div>
        );
      })}
    </>
  );
}

function ExampleLine({ example, store, latent, row, max }: Omit<QuantilesProps, "examples"> & { example: Example }) {
  const reading = usePromise(() => Reading.open(store, example.rollout), [store, example.rollout]);
  const [selected, setSelected] = useState<number | null>(null);
  const scale = useMemo<Scale>(() => ({ kind: "sequential", max }), [max]);
  const part = useMemo(() => {
    if (!reading) return null;
    const from = Math.max(0, example.position - BEFORE);
    const to = Math.min(reading.length, example.position + AFTER);
    const texts = reading.texts.slice(from, to);
    return { from, to, texts, values: Float32Array.from(texts, (_, i) => reading.activation(row, from + i)) };
  }, [reading, row]);
  const problem = store.problem(example.rollout);
  const href = linkTo({ v: "rollouts", r: example.rollout, t: example.position, by: "activation", l: latent });
  return (
    <div class="example">
      <div class="example-facts">
        <a href={href} aria-label={`Read rollout ${example.rollout}, activation ${num(example.value, 2)}`}>
          {num(example.value, 2)}
        </a>
        <OutcomeBadge outcome={store.outcome(example.rollout)} short />
        <span class="muted">
          {readable(store.bucketName(example.rollout))}
          {store.bucketName(example.rollout) ? "; " : ""}
          {readable(store.checkpointLabel(store.columns.checkpoint[example.rollout]))}
        </span>
      </div>
      {part ? (
        <div class="example-text" title={readable(problem.prompt.slice(0, 400))}>
          {part.from > 0 && <span class="muted">…</span>}
          <TokenLine
            texts={part.texts}
            values={part.values}
            scale={scale}
            selected={selected}
            onSelect={setSelected}
            offset={part.from}
            what="activation"
            label={`Rollout ${example.rollout}, tokens ${part.from} to ${part.to - 1}`}
            marks={(i) => (part.from + i === example.position ? "peak" : undefined)}
          />
        </div>
      ) : (
        <Loading />
      )}
    </div>
  );
}
