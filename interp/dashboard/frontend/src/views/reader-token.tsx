// What is known of the chosen token: its text, its numbers, and the latents strongest there.
import { linkTo } from "../address";
import { useChunks, type Report } from "../data";
import { useNotes } from "../notes";
import type { Paid } from "../rollouts/payments";
import { stepWords, type Reading } from "../rollouts/reading";
import type { RolloutStore } from "../rollouts/store";
import { LatentLink } from "../parts";
import { num, signed } from "../text";
import { readable, visible } from "../tokens";
import { Fact, isNumber } from "./rollouts-parts";

interface TokenPanelProps {
  report: Report;
  store: RolloutStore;
  reading: Reading;
  token: number | null;
  numbers: ArrayLike<number> | undefined;
  /** Row of the features of the latent that colours the tokens. */
  latent: number | null;
}

export function TokenPanel(props: TokenPanelProps) {
  const { report, reading, token } = props;
  if (!reading.length) return null;
  if (token === null) {
    return (
      <p class="token-panel muted">
        Choose a token by a click or with the arrow keys: its numbers and its strongest latents stand here. <kbd>1</kbd> to <kbd>9</kbd>{" "}
        change the colours, <kbd>j</kbd> and <kbd>k</kbd> the rollout.
      </p>
    );
  }
  return (
    <section class="token-panel" aria-label={`Token ${token}`}>
      <h3>
        Token {token} <code>{visible(reading.texts[token]).slice(0, 200)}</code>
      </h3>
      <Numbers reading={reading} token={token} />
      {report.index.features ? <Strongest {...props} token={token} /> : <p class="muted">This report holds no features.</p>}
    </section>
  );
}

function Numbers({ reading, token }: { reading: Reading; token: number }) {
  const logprob = reading.value("logprob", token);
  const base = reading.value("base_logprob", token);
  const step = reading.arrays.step?.[token] ?? 0;
  const extras = reading.store.report.index.rollouts?.extras ?? [];
  return (
    <dl class="verdict">
      <Fact name="role">{readable(reading.role(token)) || "–"}</Fact>
      <Fact name="step">{step ? `${step}: ${stepWords(reading.state(token))}` : "none"}</Fact>
      <Fact name="log-prob" title="nats">
        {num(logprob)}
      </Fact>
      <Fact name="probability">{num(Math.exp(logprob))}</Fact>
      <Fact name="entropy" title="nats">
        {num(reading.value("entropy", token))}
      </Fact>
      <Fact name="base log-prob" title="nats">
        {num(base)}
      </Fact>
      <Fact name="KL" title="Log-probability less that by the base, nats">
        {signed(logprob - base)}
      </Fact>
      <Fact name="advantage">{signed(reading.value("advantage", token))}</Fact>
      <Fact name="credit" title="Weight in the rollout's advantage">
        {num(reading.value("credit", token))}
      </Fact>
      {reading.paid && <ReadHere paid={reading.paid} token={token} />}
      {extras.map((extra, at) => (
        <Fact key={at} name={readable(extra.name)} title={extra.what}>
          {signed(reading.extras[at]?.[token])}
        </Fact>
      ))}
    </dl>
  );
}

/** What each source of the credit read at the token, and what the control did. */
function ReadHere({ paid, token }: { paid: Paid; token: number }) {
  const { scheme, control } = paid;
  return (
    <>
      {[scheme, ...(control ? [control] : [])].flatMap((side, which) =>
        side.sources.map((source, at) => {
          const value = side.read?.[token * side.sources.length + at];
          if (!isNumber(value)) return null;
          return (
            <Fact
              key={`${which} ${source}`}
              name={`${which ? "control " : ""}read: ${readable(source)}`}
              title={`Log-odds that the success is valid, as ${side.reader} read this token`}
            >
              {signed(value)}
            </Fact>
          );
        }),
      )}
      {control?.advantage && (
        <Fact name="control's advantage" title={`What ${readable(control.name)} would have given the token`}>
          {signed(control.advantage[token])}
        </Fact>
      )}
    </>
  );
}

const MOST = 8;

function Strongest({ report, reading, token, numbers, latent }: TokenPanelProps & { token: number }) {
  const [notes] = useNotes(report);
  const role = useChunks({ it: report.index.features?.role })?.it;
  const hasBase = !!reading.arrays.base_latent && reading.arrays.base_value !== undefined;
  const here = [...reading.strongest(token), ...reading.onlyInBase(token)].slice(0, MOST);
  if (!reading.arrays.live_latent) return <p class="muted">No activations are recorded for this rollout.</p>;
  if (!here.length) return <p class="muted">None of the shown latents is active at this token.</p>;
  const most = Math.max(...here.map((each) => Math.max(each.live, each.base || 0)));
  const roles = report.index.features?.roles ?? [];
  return (
    <table class="plain latents-here">
      <caption>Strongest latents here{hasBase && ", in this checkpoint and in the base on the same text"}</caption>
      <thead>
        <tr>
          <th scope="col">latent</th>
          <th scope="col">role</th>
          <th scope="col" class="right">
            activation
          </th>
          {hasBase && (
            <th scope="col" class="right">
              base
            </th>
          )}
          <th scope="col">
            <span class="sr-only">Size</span>
          </th>
          <th scope="col">
            <span class="sr-only">Colour by it</span>
          </th>
        </tr>
      </thead>
      <tbody>
        {here.map((each) => {
          const number = numbers?.[each.row];
          return (
            <tr key={each.row} class={each.row === latent ? "current" : ""}>
              <td>{number === undefined ? `row ${each.row}` : <LatentLink latent={number} name={notes.nameOf(number)} />}</td>
              <td>{role?.[each.row] ? readable(roles[role[each.row]] ?? "") : <span class="muted">none</span>}</td>
              <td class="right">{num(each.live, 2)}</td>
              {hasBase && <td class="right">{num(each.base, 2)}</td>}
              <td class="meter-cell">
                <span class="meter" style={{ "--w": String(most > 0 ? each.live / most : 0) }} aria-hidden="true" />
              </td>
              <td>
                {number !== undefined && (
                  <a
                    href={linkTo({ ...addressOfToken(reading, token), by: "activation", l: number })}
                    aria-label={`Colour all tokens by latent ${number}`}
                  >
                    colour
                  </a>
                )}
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}

const addressOfToken = (reading: Reading, token: number) => ({ v: "rollouts", r: reading.row, t: token });
