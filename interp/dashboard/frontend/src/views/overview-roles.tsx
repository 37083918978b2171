// Which roles grew: latents of each family that each run strengthened and weakened in each bucket, with the control below.
import { linkTo } from "../address";
import { Missing } from "../parts";
import { runName } from "../names";
import { downloadCsv } from "../text";
import { readable } from "../tokens";
import type { Finding, Index, RoleCount } from "../types";

interface RoleCountsProps {
  index: Index;
  roles: readonly RoleCount[];
  earned: Finding | null;
}

export function RoleCounts({ index, roles, earned }: RoleCountsProps) {
  const gates = earned && (
    <p class="note wide">
      {readable(earned.text)} {readable(earned.detail)}
    </p>
  );
  if (!roles.length)
    return (
      <>
        {gates}
        <Missing
          what="roles beside tracks, so there is nothing to count"
          why="Roles come from interp roles, tracks from interp track."
        />
      </>
    );
  const runs = [...new Set(roles.map((row) => row.run))];
  const families = [...new Set(roles.map((row) => row.family))].filter((family) => latentsOf(roles, family) > 0);
  const empty = [...new Set(roles.map((row) => row.family))].filter((family) => !families.includes(family));
  const buckets = [...new Set(roles.map((row) => row.bucket))];
  const row = (run: number, family: string, bucket: string) =>
    roles.find((each) => each.run === run && each.family === family && each.bucket === bucket);
  const columns = families.flatMap((family) => buckets.map((bucket, i) => ({ family, bucket, first: i === 0 })));
  return (
    <>
      <div class="panel scroll-x" tabIndex={0} role="region" aria-label="Latents of each role that changed">
        <table class="changes roles">
          <thead>
            <tr>
              <th rowSpan={2} scope="col" />
              {families.map((family) => (
                <th key={family} colSpan={buckets.length} scope="colgroup" class="group">
                  <a href={linkTo({ v: "features", role: family })}>{readable(family)}</a>{" "}
                  <span class="muted">{latentsOf(roles, family)}</span>
                </th>
              ))}
            </tr>
            <tr>
              {columns.map(({ family, bucket, first }) => (
                <th key={`${family} ${bucket}`} scope="col" class={first ? "group" : ""}>
                  {readable(bucket)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {runs.map((run) => (
              <tr key={run}>
                <th scope="row" title={readable(index.runs[run]?.name ?? "")}>
                  <span class="run-name">{runName(index, run)}</span>
                </th>
                {columns.map(({ family, bucket, first }) => (
                  <td key={`${family} ${bucket}`} class={first ? "group" : ""}>
                    <UpAndDown count={row(run, family, bucket)} />
                  </td>
                ))}
              </tr>
            ))}
            <tr class="control">
              <th scope="row">
                <span class="run-name">base again</span> <span class="remark">control</span>
              </th>
              {columns.map(({ family, bucket, first }) => (
                <td key={`${family} ${bucket}`} class={first ? "group" : ""}>
                  <Control counts={runs.map((run) => row(run, family, bucket)?.control ?? null)} />
                </td>
              ))}
            </tr>
          </tbody>
        </table>
      </div>
      {gates}
      <p class="note wide">
        Control: latents that change either way when the base is sampled again.{empty.length > 0 && ` No latent earned the role ${empty.map(readable).join(", ")}.`}{" "}
        <button type="button" class="quiet" onClick={() => saveCounts(index, roles)}>
          Save CSV
        </button>
      </p>
    </>
  );
}

const latentsOf = (roles: readonly RoleCount[], family: string): number =>
  Math.max(0, ...roles.filter((row) => row.family === family).map((row) => row.latents));

function UpAndDown({ count }: { count: RoleCount | undefined }) {
  if (!count) return <span class="muted">–</span>;
  if (!count.strengthened && !count.weakened) return <span class="muted">0</span>;
  return (
    <span class="up-down">
      {count.strengthened > 0 && <span class="up" aria-label={`${count.strengthened} strengthened`}>▲{count.strengthened}</span>}
      {count.weakened > 0 && <span class="down" aria-label={`${count.weakened} weakened`}>▼{count.weakened}</span>}
    </span>
  );
}

/** The control of the runs: one number where they agree. */
function Control({ counts }: { counts: readonly (number | null)[] }) {
  const known = [...new Set(counts.filter((each): each is number => each !== null))];
  if (!known.length) return <span class="muted">–</span>;
  return <>{known.length === 1 ? known[0] : `${Math.min(...known)} to ${Math.max(...known)}`}</>;
}

function saveCounts(index: Index, roles: readonly RoleCount[]): void {
  downloadCsv(
    "roles that grew",
    ["run", "bucket", "family", "latents", "strengthened", "weakened", "control"],
    roles.map((row) => [
      index.runs[row.run]?.name ?? row.run,
      row.bucket,
      row.family,
      row.latents,
      row.strengthened,
      row.weakened,
      row.control,
    ]),
  );
}
