// The runs that are open.

import { useEffect } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "./address";
import { listRuns } from "./api";
import { count, share, when } from "./format";
import { screenKeys } from "./keys";
import { useLoaded } from "./load";
import { Quiet, Wrong } from "./parts";
import { grown } from "./state";
import type { RunLine } from "./types";

export function Runs(): JSX.Element {
  const loaded = useLoaded(JSON.stringify(grown.value), listRuns, true).value;
  useEffect(() => void (screenKeys.value = []), []);
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return (
    <div class="page">
      <table class="lines">
        <thead>
          <tr>
            <th scope="col">run</th>
            <th scope="col">status</th>
            <th scope="col" class="wide">
              environment
            </th>
            <th scope="col" class="wide">
              credit
            </th>
            <th scope="col" class="wide">
              shaping
            </th>
            <th scope="col" class="num">
              step
            </th>
            <th scope="col" class="num">
              episodes
            </th>
            <th scope="col" class="num">
              success
            </th>
            <th scope="col" class="num wide">
              faults
            </th>
            <th scope="col" class="wide">
              started
            </th>
          </tr>
        </thead>
        <tbody>
          {loaded.value.map((each) => (
            <Line run={each} />
          ))}
        </tbody>
      </table>
      <Comparing runs={loaded.value} />
    </div>
  );
}

function Comparing({ runs }: { runs: RunLine[] }): JSX.Element | null {
  const [a, b] = runs;
  if (!a || !b) return null;
  return (
    <p class="below">
      <a href={printAddress({ screen: "compare", a: a.run, b: b.run })}>compare two runs</a>
    </p>
  );
}

function Line({ run }: { run: RunLine }): JSX.Element {
  return (
    <tr>
      <th scope="row">
        <a href={printAddress({ screen: "run", run: run.run })} title={run.path}>
          {run.run}
        </a>
      </th>
      <td>
        <Status status={run.status} broken={run.broken} />
      </td>
      <td class="wide">{run.env ?? "–"}</td>
      <td class="wide">
        <Method label={run.credit} />
      </td>
      <td class="wide">
        <Method label={run.shaping} />
      </td>
      <td class="num">{count(run.step)}</td>
      <td class="num">{count(run.episodes)}</td>
      <td class="num">{share(run.success)}</td>
      <td class="num wide">{count(run.faults)}</td>
      <td class="num wide">{when(run.started)}</td>
    </tr>
  );
}

export function Status({ status, broken }: { status: string; broken: number }): JSX.Element {
  return (
    <span class={`status ${status === "running" ? "live" : status}`}>
      {status}
      {broken > 0 && <span class="bad"> · {broken} broken</span>}
    </span>
  );
}

/** An estimator or a shaping: its name; what was set of it on hover. */
export function Method({ label }: { label: string | null }): JSX.Element {
  if (!label) return <span>–</span>;
  const name = label.split(",", 1)[0]!;
  return (
    <span title={label}>
      {name}
      {name !== label && <span class="quiet"> …</span>}
    </span>
  );
}
