// Facts of a latent's weights and activations: density, tokens of the logit lens, neighbours.
import { Bars } from "../charts";
import { useArray, useChunks, useJson } from "../data";
import { roleName } from "../features/rows";
import { useNotes } from "../notes";
import { LatentLink, Loading, Missing } from "../parts";
import { count, num, signed } from "../text";
import { readable, visible } from "../tokens";
import type { FeatureProps } from "./feature";

export function FeatureDensity({ features, row }: FeatureProps) {
  const { density } = features;
  const counts = useArray(density?.counts);
  if (!density) return <Missing what="histogram of activations" />;
  if (!counts) return <Loading />;
  const bins = density.edges.length - 1;
  const own = Array.from(counts.slice(row * bins, (row + 1) * bins));
  const total = own.reduce((sum, n) => sum + n, 0);
  return (
    <Bars
      title="Activation where it is active"
      level={4}
      description="How many tokens have which activation, on a logarithmic axis, over tokens where the latent is active."
      bars={own.map((value, i) => ({
        name: num(10 ** density.edges[i], 2),
        value,
        note: `up to ${num(10 ** density.edges[i + 1], 2)}`,
      }))}
      xName="activation (logarithmic)"
      yName="tokens"
      note={`${count(total)} tokens`}
    />
  );
}

export function FeatureLens({ report, features, row }: FeatureProps) {
  const { lens } = features;
  const chunks = useChunks({
    raised: lens?.raised,
    raisedBy: lens?.raised_by,
    lowered: lens?.lowered,
    loweredBy: lens?.lowered_by,
  });
  const texts = useJson<string[]>(lens ? report.index.rollouts?.token_texts : null);
  if (!lens) return <Missing what="logit lens" />;
  if (!chunks || (!texts && report.index.rollouts)) return <Loading />;
  const per = chunks.raised.length / features.count;
  const list = (tokens: ArrayLike<number>, by: ArrayLike<number>) =>
    Array.from({ length: per }, (_, i) => ({ token: tokens[row * per + i], by: by[row * per + i] })).filter((each) =>
      Number.isFinite(each.by),
    );
  const raised = list(chunks.raised, chunks.raisedBy);
  const lowered = list(chunks.lowered, chunks.loweredBy);
  const most = Math.max(1e-9, ...[...raised, ...lowered].map((each) => Math.abs(each.by)));
  const show = (title: string, entries: typeof raised, hue: string) => (
    <div>
      <h4>{title}</h4>
      <ol class="lens">
        {entries.map(({ token, by }, i) => (
          <li key={i}>
            <code>{texts ? visible(texts[token] ?? `token ${token}`) : `token ${token}`}</code>
            <span class="minibar">
              <i class={hue} style={{ width: `${(70 * Math.abs(by)) / most}px` }} aria-hidden="true" />
              {signed(by, 2)}
            </span>
          </li>
        ))}
      </ol>
    </div>
  );
  return (
    <div class="two">
      {show("Raises", raised, "pos")}
      {show("Lowers", lowered, "neg")}
    </div>
  );
}

export function FeatureNeighbors({ report, features, table, row }: FeatureProps) {
  const [notes] = useNotes(report);
  const { neighbors } = features;
  const chunks = useChunks({ latent: neighbors?.latent, cosine: neighbors?.cosine });
  if (!neighbors) return <Missing what="neighbours" />;
  if (!chunks) return <Loading />;
  const per = chunks.latent.length / features.count;
  const rows = Array.from({ length: per }, (_, i) => ({
    row: chunks.latent[row * per + i],
    cosine: chunks.cosine[row * per + i],
  })).filter((each) => each.row >= 0 && each.row < features.count);
  if (!rows.length) return <p class="muted">None of its nearest latents is shown in this report.</p>;
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">latent</th>
          <th scope="col">role</th>
          <th scope="col">cosine</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((each) => {
          const latent = table.latents[each.row];
          return (
            <tr key={each.row}>
              <td>
                <LatentLink latent={latent} name={notes.nameOf(latent)} />
              </td>
              <td>{readable(roleName(table, each.row))}</td>
              <td>
                <span class="minibar">
                  <i
                    class={each.cosine < 0 ? "neg" : "pos"}
                    style={{ width: `${70 * Math.min(1, Math.abs(each.cosine))}px` }}
                    aria-hidden="true"
                  />
                  {num(each.cosine)}
                </span>
              </td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
