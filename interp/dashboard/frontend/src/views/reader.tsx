// One rollout: its verdict, its prompt, its tokens in a colouring, and what is known of the chosen token.
import type { RefObject } from "preact";
import { useLayoutEffect, useMemo, useRef } from "preact/hooks";
import { useAddress } from "../address";
import { useChunks, type Report } from "../data";
import { useKeys } from "../keys";
import { coloringsOf, coloringValues, keyOfDigit, type Coloring } from "../rollouts/colorings";
import { checkpointWord } from "../rollouts/filters";
import { Reading, stepWords } from "../rollouts/reading";
import { OUTCOME_WORDS, type RolloutStore } from "../rollouts/store";
import { Loading } from "../parts";
import { TokenLine } from "../tokenline";
import { count, num } from "../text";
import { readable } from "../tokens";
import { openPaid } from "../rollouts/payments";
import { GroupView } from "./group";
import { ColoringBar, LatentSelect, Legend } from "./reader-colorings";
import { PaymentTable } from "./reader-payment";
import { TokenPanel } from "./reader-token";
import { Verdict } from "./reader-verdict";
import { short, useLatentNumbers, usePromise } from "./rollouts-parts";

interface ReaderProps {
  report: Report;
  store: RolloutStore;
  row: number;
}

interface ReaderViewProps extends ReaderProps {
  /** The listed rollouts, in their order. */
  order: readonly number[];
}

export function ReaderView({ report, store, row, order }: ReaderViewProps) {
  const [address, go] = useAddress();
  const group = address.pane === "group";
  useKeys({ g: () => go({ pane: group ? null : "group" }) });
  const checkpoint = store.columns.checkpoint[row];
  return (
    <article class="reader" aria-label={`Rollout ${row}`}>
      <header>
        <h2>
          Rollout {row} <span class="muted" title={readable(store.runName(checkpoint))}>{checkpointWord(store, checkpoint)}</span>
        </h2>
        <Neighbors row={row} order={order} />
        <div class="tabs" role="group" aria-label="What to show of the rollout">
          <button type="button" aria-pressed={!group} onClick={() => go({ pane: null })}>
            Tokens
          </button>
          <button type="button" aria-pressed={group} aria-keyshortcuts="g" onClick={() => go({ pane: "group" })}>
            Group <kbd>g</kbd>
          </button>
        </div>
        <button type="button" class="quiet close" aria-keyshortcuts="Escape" onClick={() => go({ r: null, t: null, pane: null })}>
          Close <kbd>Esc</kbd>
        </button>
      </header>
      <p class="sr-only" role="status">
        Rollout {row}, {OUTCOME_WORDS[store.outcome(row)]}, reward {short(store.columns.reward[row])}
      </p>
      <Verdict store={store} row={row} />
      <Payments store={store} row={row} />
      <Prompt text={store.problem(row).prompt} />
      {group ? <GroupView report={report} store={store} row={row} /> : <Tokens report={report} store={store} row={row} />}
    </article>
  );
}

/** Nothing where no credit was explained: the colouring says why. */
function Payments({ store, row }: { store: RolloutStore; row: number }) {
  const paid = usePromise(() => openPaid(store, row), [store, row]);
  return paid ? <PaymentTable paid={paid} /> : null;
}

function Neighbors({ row, order }: { row: number; order: readonly number[] }) {
  const [, go] = useAddress();
  const at = order.indexOf(row);
  const open = (place: number) => go({ r: order[place], t: null });
  if (at < 0) return <span class="steps-of-list">not in the list</span>;
  return (
    <span class="steps-of-list">
      <button type="button" class="quiet" aria-label="Previous rollout of the list" aria-keyshortcuts="k" disabled={at === 0} onClick={() => open(at - 1)}>
        ‹ <kbd>k</kbd>
      </button>
      {count(at + 1)} of {count(order.length)}
      <button
        type="button"
        class="quiet"
        aria-label="Next rollout of the list"
        aria-keyshortcuts="j"
        disabled={at === order.length - 1}
        onClick={() => open(at + 1)}
      >
        <kbd>j</kbd> ›
      </button>
    </span>
  );
}

function Tokens({ report, store, row }: ReaderProps) {
  const reading = usePromise(() => Reading.open(store, row), [store, row]);
  return reading ? <ColoredTokens report={report} store={store} reading={reading} /> : <Loading />;
}

const LONG_PROMPT = 400;

function Prompt({ text }: { text: string }) {
  if (text.length <= LONG_PROMPT) return <pre class="prompt">{readable(text)}</pre>;
  return (
    <details class="prompt-fold">
      <summary>
        Prompt, {count(text.length)} characters: <span class="muted">{readable(text.slice(0, 80)).replace(/\s+/g, " ")} …</span>
      </summary>
      <pre class="prompt" tabIndex={0} role="region" aria-label="The whole prompt">
        {readable(text)}
      </pre>
    </details>
  );
}

function ColoredTokens({ report, store, reading }: { report: Report; store: RolloutStore; reading: Reading }) {
  const [address, go] = useAddress();
  const numbers = useLatentNumbers(report);
  const facts = useChunks({ max: report.index.features?.facts.max });
  const colorings = useMemo(() => coloringsOf(reading), [reading]);
  const coloring = chosenColoring(colorings, address.by);
  const latent = chosenLatent(reading, numbers, address.l);
  const peak = latent !== null ? (facts?.max?.[latent] ?? NaN) : NaN;
  const shown = useMemo(
    () => (coloring.reason || coloring.kind === "steps" ? null : coloringValues(reading, coloring.key, latent, peak)),
    [reading, coloring, latent, peak],
  );
  const token = address.t !== undefined && address.t < reading.length ? address.t : null;
  const firstError = store.columns.first_error[reading.row];
  const marks = useMemo(() => tokenMarks(reading, firstError, coloring), [reading, firstError, coloring]);
  const describe = useMemo(() => tokenWords(reading, firstError), [reading, firstError]);
  const message = useRef("");
  const line = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => numberSteps(line.current, reading), [reading]);
  const choose = (key: string | undefined) => {
    const next = colorings.find((each) => each.key === key);
    if (!next) return;
    message.current = next.reason;
    go({ by: next.reason ? address.by : next.key });
  };
  useTokenKeys(reading, token, latent, numbers, line, choose);
  useLayoutEffect(() => {
    if (token === null) line.current?.firstElementChild?.scrollTo(0, 0);
    else line.current?.querySelector(`[data-i="${token}"]`)?.scrollIntoView({ block: "nearest" });
  }, [reading, token]);
  const needsLatent = coloring.key === "activation" || coloring.key === "base";

  return (
    <>
      <div class="coloring">
        <ColoringBar colorings={colorings} chosen={coloring.key} onChoose={choose} message={message.current} />
        {latent !== null && numbers && (
          <LatentSelect
            report={report}
            reading={reading}
            numbers={numbers}
            latent={latent}
            onChoose={(l) => go({ l, by: needsLatent ? coloring.key : "activation" })}
          />
        )}
        <Legend coloring={coloring} shown={shown} />
      </div>
      {reading.length ? (
       <div ref={line} class="tokens">
        <TokenLine
          texts={reading.texts}
          values={shown?.shades ?? null}
          scale={shown?.scale ?? NO_SCALE}
          format={shown?.format ?? num}
          what={coloring.label}
          selected={token}
          onSelect={(t) => go({ t })}
          marks={marks}
          describe={describe}
          label={`Completion of rollout ${reading.row}, ${reading.length} tokens`}
        />
       </div>
      ) : (
        <p class="muted">The completion is empty.</p>
      )}
      <Steps reading={reading} firstError={firstError} onSelect={(t) => go({ t })} />
      <TokenPanel report={report} store={store} reading={reading} token={token} numbers={numbers} latent={latent} />
    </>
  );
}

const NO_SCALE = { kind: "sequential", max: 1 } as const;

/** The asked colouring, or the first with data. */
function chosenColoring(colorings: readonly Coloring[], key: string | undefined): Coloring {
  return colorings.find((each) => each.key === key) ?? colorings.find((each) => !each.reason) ?? colorings[0];
}

/** Row of the features of the latent to show: the asked one, even if it is silent here, else the strongest. */
function chosenLatent(reading: Reading, numbers: ArrayLike<number> | undefined, asked: number | undefined): number | null {
  const at = numbers && asked !== undefined ? Array.prototype.indexOf.call(numbers, asked) : -1;
  return at >= 0 ? at : (reading.latents[0]?.row ?? null);
}

const STATE_CLASSES = ["", "right", "bad", "undue"];

function tokenMarks(reading: Reading, firstError: number, coloring: Coloring): (token: number) => string | undefined {
  const starts = new Set(reading.steps.map((step) => step.from));
  return (token) => {
    const state = reading.state(token);
    const inStep = reading.arrays.step?.[token] ? `step ${STATE_CLASSES[state] ?? ""}` : "";
    const fill = coloring.kind === "steps" && state ? "filled" : "";
    return `${inStep} ${starts.has(token) ? "start" : ""} ${fill} ${token === firstError ? "first-error" : ""}`;
  };
}

/** The number of a step stands before its first token. It is drawn by the style sheet, so it is no part of the text. */
function numberSteps(line: HTMLElement | null, reading: Reading): void {
  line?.querySelectorAll<HTMLElement>("[data-step]").forEach((token) => delete token.dataset.step);
  const tokens = line?.querySelectorAll<HTMLElement>("[data-i]");
  for (const step of reading.steps) {
    const token = tokens?.[step.from];
    if (token) token.dataset.step = String(step.number);
  }
}

function tokenWords(reading: Reading, firstError: number): (token: number) => string {
  return (token) => {
    const step = reading.arrays.step?.[token] ?? 0;
    const parts = [
      token === firstError ? "first error" : "",
      reading.role(token),
      step ? `step ${step}: ${stepWords(reading.state(token))}` : "",
    ];
    return parts.filter(Boolean).join(", ");
  };
}

function useTokenKeys(
  reading: Reading,
  token: number | null,
  latent: number | null,
  numbers: ArrayLike<number> | undefined,
  line: RefObject<HTMLElement>,
  choose: (key: string | undefined) => void,
): void {
  const [, go] = useAddress();
  const move = (by: number) => {
    const next = token === null ? (by > 0 ? 0 : reading.length - 1) : token + by;
    go({ t: Math.max(0, Math.min(reading.length - 1, next)) });
  };
  const openFeature = () => {
    const strongest = token === null ? latent : (reading.strongest(token)[0]?.row ?? null);
    if (strongest !== null && numbers) go({ v: "feature", f: numbers[strongest] });
  };
  const digits = Object.fromEntries(
    ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map((digit) => [digit, () => choose(keyOfDigit(digit))]),
  );
  useKeys({
    ...digits,
    f: openFeature,
    ArrowRight: () => move(1),
    ArrowLeft: () => move(-1),
    t: () => line.current?.querySelector<HTMLElement>('[data-i][tabindex="0"]')?.focus(),
  });
}

function Steps(props: { reading: Reading; firstError: number; onSelect: (token: number) => void }) {
  const { reading, firstError, onSelect } = props;
  const inside = firstError >= 0 && firstError < reading.length;
  if (!reading.steps.length && firstError < 0) return null;
  return (
    <ol class="steps" aria-label="Steps">
      {reading.steps.map((step) => (
        <li key={step.from}>
          <button type="button" class={`step-chip ${STATE_CLASSES[step.state] ?? ""}`} onClick={() => onSelect(step.from)}>
            <b>{step.number}</b> {stepWords(step.state)}
          </button>
        </li>
      ))}
      {firstError >= 0 && (
        <li>
          {inside ? (
            <button type="button" class="step-chip error-chip" onClick={() => onSelect(firstError)}>
              first error at token {firstError}
            </button>
          ) : (
            <span class="step-chip">first error at the end: something is missing</span>
          )}
        </li>
      )}
    </ol>
  );
}
