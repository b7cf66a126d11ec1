// The runs that are open.

import "./runs.css";
import { visible } from "../model/ansi";
import { type Signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { type Place, printAddress } from "../model/address";
import { listRuns } from "../model/api";
import { count, share, when } from "../model/format";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { useLoaded } from "../model/load";
import { Quiet, Wrong } from "../parts/parts";
import { go, grown, told } from "../model/state";
import type { RunLine } from "../model/types";

const COLUMNS = [
  ["run", ""],
  ["status", ""],
  ["environment", "wide"],
  ["credit", "wide"],
  ["shaping", "wide"],
  ["step", "num"],
  ["episodes", "num"],
  ["success", "num"],
  ["faults", "num wide"],
  ["started", "num wide"],
] as const;

export function Runs(): JSX.Element {
  const loaded = useLoaded(JSON.stringify(grown.value), listRuns, true).value;
  const chosen = useSignal<readonly string[]>([]);
  const runs = loaded.value ?? [];
  const toggle = (run: string) => {
    const without = chosen.value.filter((each) => each !== run);
    chosen.value = without.length < chosen.value.length ? without : [...without, run];
  };
  useKeys(screenKeys, () => keys(runs, chosen, toggle), [loaded.value]);
  if (!loaded.value) return loaded.error ? <Wrong error={loaded.error} /> : <Quiet>Loading.</Quiet>;
  return (
    <div class="page scroll" tabIndex={0} role="region" aria-label="runs">
      {loaded.error && <Wrong error={loaded.error} />}
      <table class="lines">
        <thead>
          <tr>
            <td class="pick" />
            {COLUMNS.map(([name, style]) => (
              <th scope="col" class={style}>
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {runs.map((each) => (
            <Line
              run={each}
              isChosen={chosen.value.includes(each.run)}
              toggle={() => toggle(each.run)}
            />
          ))}
        </tbody>
      </table>
      {runs.length > 1 && <Together chosen={chosen.value} />}
    </div>
  );
}

function keys(
  runs: readonly RunLine[],
  chosen: Signal<readonly string[]>,
  toggle: (run: string) => void,
): Key[] {
  const links = () => [...document.querySelectorAll<HTMLElement>(".lines tbody th a")];
  const at = () =>
    links().findIndex((each) => each.closest("tr")!.contains(document.activeElement));
  const move = (by: number) =>
    links()[Math.max(0, Math.min(runs.length - 1, at() < 0 ? 0 : at() + by))]?.focus();
  return [
    { keys: "j k", what: "the next run, the one before", act: (key) => move(key === "j" ? 1 : -1) },
    { keys: "x", what: "choose the run, or not", act: () => at() >= 0 && toggle(runs[at()]!.run) },
    {
      keys: "o",
      what: "curves of the chosen runs over each other",
      act: () => open(chosen, overlaid),
    },
    { keys: "d", what: "compare the chosen runs", act: () => open(chosen, compared) },
  ];
}

function open(chosen: Signal<readonly string[]>, to: typeof overlaid): void {
  if (chosen.value.length < 2) told.value = "choose two runs or more";
  else go(...to(chosen.value));
}

type Target = [Place, Record<string, string | undefined>];

function overlaid([first, ...rest]: readonly string[]): Target {
  return [{ screen: "run", run: first! }, { with: rest.join(",") }];
}

function compared([a, b, ...rest]: readonly string[]): Target {
  return [
    { screen: "compare", a: a!, b: b! },
    { with: rest.join(","), view: rest.length ? "matrix" : undefined },
  ];
}

function Together({ chosen }: { chosen: readonly string[] }): JSX.Element {
  if (chosen.length < 2) return <p class="below quiet">Choose two runs or more to compare them.</p>;
  return (
    <p class="below links">
      <a href={printAddress(...compared(chosen))}>compare {chosen.length} runs</a>
      {" · "}
      <a href={printAddress(...overlaid(chosen))}>their curves over each other</a>
    </p>
  );
}

interface LineProps {
  run: RunLine;
  isChosen: boolean;
  toggle: () => void;
}

function Line({ run, isChosen, toggle }: LineProps): JSX.Element {
  return (
    <tr class={isChosen ? "here" : ""}>
      <td class="pick">
        <input
          type="checkbox"
          aria-label={`choose ${run.run}`}
          checked={isChosen}
          onChange={toggle}
        />
      </td>
      <th scope="row" class="run-name">
        <a href={printAddress({ screen: "run", run: run.run })} title={run.path}>
          {visible(run.run)}
        </a>
      </th>
      <td>
        <Status status={run.status} broken={run.broken} />
      </td>
      <td class="wide">{visible(run.env ?? "–")}</td>
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

const STYLES: Record<string, string> = { running: "live", crashed: "bad", failed: "bad" };

export function Status({ status, broken }: { status: string; broken: number }): JSX.Element {
  return (
    <span class={`status ${STYLES[status] ?? ""}`}>
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
