// How many latents of each role family each bucket strengthened and weakened, beside what changes when the base is sampled again.
import { Missing } from "../parts";
import { readable } from "../tokens";
import { downloadCsv } from "../text";
import { linkTo } from "../address";
import type { Index, RoleCount } from "../types";

export function RoleCounts({ index, roles }: { index: Index; roles: readonly RoleCount[] }) {
  if (!roles.length)
    return (
      <Missing
        what="roles beside tracks, so there is nothing to count"
        why="Roles come from interp roles, tracks from interp track."
      />
    );
  const runs = [...new Set(roles.map((row) => row.run))];
  const most = Math.max(1, ...roles.map((row) => row.latents));
  return (
    <>
      <div class="role-runs">
        {runs.map((run) => (
          <RunTable key={run} index={index} run={run} rows={roles.filter((row) => row.run === run)} most={most} />
        ))}
      </div>
      <p class="note">
        Latents whose change since the base has q ≤ 0.05. Control: latents of the family that change when the base is sampled
        again, where nothing was trained. A full bar: all latents of the largest family.{" "}
        <button type="button" class="quiet" onClick={() => saveCounts(index, roles)}>
          Save CSV
        </button>
      </p>
    </>
  );
}

interface RunTableProps {
  index: Index;
  run: number;
  rows: readonly RoleCount[];
  most: number;
}

function RunTable({ index, run, rows, most }: RunTableProps) {
  const families = [...new Set(rows.map((row) => row.family))];
  return (
    <div class="panel scroll-x">
      <h3>{readable(index.runs[run]?.name ?? `run ${run}`)}</h3>
      <table class="roles">
        <thead>
          <tr>
            <th scope="col">family</th>
            <th scope="col">bucket</th>
            <th scope="col" class="right">
              latents
            </th>
            <th scope="col">strengthened</th>
            <th scope="col">weakened</th>
            <th scope="col">control</th>
          </tr>
        </thead>
        <tbody>
          {families.flatMap((family) =>
            rows
              .filter((row) => row.family === family)
              .map((row, i) => (
                <tr key={`${family} ${row.bucket}`} class={i === 0 ? "first" : ""}>
                  <td>
                    {i === 0 ? (
                      <a href={linkTo({ v: "features", role: family })}>{readable(family)}</a>
                    ) : (
                      <span class="sr-only">{readable(family)}</span>
                    )}
                  </td>
                  <td>{readable(row.bucket)}</td>
                  <td class="right">{row.latents}</td>
                  <td>
                    <MiniBar value={row.strengthened} most={most} hue="pos" />
                  </td>
                  <td>
                    <MiniBar value={row.weakened} most={most} hue="neg" />
                  </td>
                  <td>
                    <MiniBar value={row.control} most={most} hue="control" />
                  </td>
                </tr>
              )),
          )}
        </tbody>
      </table>
    </div>
  );
}

function MiniBar({ value, most, hue }: { value: number | null; most: number; hue: string }) {
  if (value == null) return <span class="muted">–</span>;
  return (
    <span class="minibar">
      <i class={hue} style={{ width: `${(70 * value) / most}px` }} aria-hidden="true" />
      {value}
    </span>
  );
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
