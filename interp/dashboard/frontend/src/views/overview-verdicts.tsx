// Verdicts of studies: the claim, what came out, and the measures behind it.
import { Badge, Missing, verdictKind } from "../parts";
import { downloadCsv, interval, words } from "../text";
import { readable } from "../tokens";
import type { Verdict } from "../types";

export function Verdicts({ verdicts }: { verdicts: readonly Verdict[] }) {
  if (!verdicts.length) return <Missing what="study, so there are no verdicts" why="Verdicts come from interp study." />;
  return (
    <div class="panel scroll-x">
      <table class="verdicts">
        <thead>
          <tr>
            <th scope="col">study</th>
            <th scope="col">claim</th>
            <th scope="col">verdict</th>
            <th scope="col">measured, with 95% intervals</th>
          </tr>
        </thead>
        <tbody>
          {verdicts.map((row, i) => (
            <tr key={i}>
              <td>{readable(row.study)}</td>
              <td class="claim" title={row.claim}>
                {readable(row.text || row.claim)}
              </td>
              <td>
                <Badge kind={verdictKind(row.verdict)}>{readable(row.verdict)}</Badge>
              </td>
              <td>
                {row.measures.map((measure, j) => (
                  <div key={j}>
                    {readable(words(measure.name))} <span class="nowrap">{interval(measure)}</span>
                    {measure.n != null && <span class="muted"> n = {measure.n}</span>}
                  </div>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <button type="button" class="quiet" onClick={() => saveVerdicts(verdicts)}>
        Save CSV
      </button>
    </div>
  );
}

function saveVerdicts(verdicts: readonly Verdict[]): void {
  downloadCsv(
    "verdicts",
    ["study", "claim", "text", "verdict", "measure", "value", "low", "high", "n"],
    verdicts.flatMap((row) =>
      (row.measures.length ? row.measures : [null]).map((m) => [
        row.study,
        row.claim,
        row.text,
        row.verdict,
        m?.name,
        m?.value,
        m?.low,
        m?.high,
        m?.n,
      ]),
    ),
  );
}
