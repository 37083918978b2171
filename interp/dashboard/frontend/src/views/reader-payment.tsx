// What the credit read in a rollout, in log-odds by source, and what it paid, beside what its control would have paid.
import { logOdds, type Paid, type Payment } from "../rollouts/payments";
import { num, signed } from "../text";
import { readable } from "../tokens";
import { isNumber } from "./rollouts-parts";

export function PaymentTable({ paid }: { paid: Paid }) {
  const sides = [paid.scheme, ...(paid.control ? [paid.control] : [])];
  const sources = [...new Set(sides.flatMap((side) => side.sources))];
  const advantages = sides.some((side) => side.advantage);
  const adds = sides.some((side) => isNumber(side.added));
  return (
    <div class="scroll-x" tabIndex={0} role="region" aria-label="What the credit read and paid">
      <table class="plain payments">
        <caption>
          Credit{paid.scheme.reader && `, as ${paid.scheme.reader} read the text`}
          {sources.length > 0 && ". Log-odds that it is valid: those of a mean text, and what each reading adds"}
        </caption>
        <thead>
          <tr>
            <th scope="col">read</th>
            <Head title="How likely this success is to be valid">p(valid)</Head>
            <Head title="Share of its reward that it keeps">gate</Head>
            <Head title="Reward × gate">paid</Head>
            {adds && <Head title="What the scheme adds to its advantage, whatever its reward">added</Head>}
            {advantages && <Head title="Mean over the tokens">advantage</Head>}
            <Head title="Log-odds that it is valid: the sum of those to the right">log-odds</Head>
            <Head title="Log-odds of a text that is like the mean of the labels">= mean text</Head>
            {sources.map((source) => (
              <Head key={source} title={`What ${readable(source)} adds`}>
                {readable(source)}
              </Head>
            ))}
          </tr>
        </thead>
        <tbody>
          {sides.map((side, at) => (
            <tr key={at} class={at ? "" : "current"}>
              <td>
                {at > 0 && <span class="muted">control </span>}
                {readable(side.name)}
              </td>
              <Cell>{num(side.p)}</Cell>
              <Cell>{num(side.gate)}</Cell>
              <Cell>{isNumber(side.paid) ? num(side.paid) : <span title="It has no part in its group">left out</span>}</Cell>
              {adds && <Cell>{signed(side.added)}</Cell>}
              {advantages && <Cell>{signed(meanOf(side))}</Cell>}
              <Cell>{signed(logOdds(side))}</Cell>
              <Cell>{signed(side.atMean)}</Cell>
              {sources.map((source) => (
                <Cell key={source}>{signed(side.bySource[side.sources.indexOf(source)])}</Cell>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function meanOf({ advantage }: Payment): number {
  if (!advantage?.length) return NaN;
  let sum = 0;
  for (let at = 0; at < advantage.length; at++) sum += advantage[at];
  return sum / advantage.length;
}

const Head = ({ children, title }: { children: preact.ComponentChildren; title: string }) => (
  <th scope="col" class="right" title={title}>
    {children}
  </th>
);

const Cell = ({ children }: { children: preact.ComponentChildren }) => <td class="right">{children}</td>;
