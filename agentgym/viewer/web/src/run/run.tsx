// One run: its curves, its groups, its episodes, and what else it tells.

import { visible } from "../model/ansi";
import type { JSX } from "preact";
import { showRun } from "../model/api";
import { CURVE_KEYS, CurvesPanel } from "./curves";
import { EpisodesPanel } from "./episodes";
import { count, share, when } from "../model/format";
import { GridPanel } from "./grid";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { useLoaded } from "../model/load";
import { Choice, Fact, Quiet, Wrong } from "../parts/parts";
import { RecordPanel } from "./record";
import { Method, Status } from "./runs";
import { grown, look, query } from "../model/state";
import type { RunDetail } from "../model/types";

const VIEWS = ["curves", "groups", "episodes", "record"] as const;
type View = (typeof VIEWS)[number];

export function RunScreen({ run }: { run: string }): JSX.Element {
  const state = grown.value[run];
  const loaded = useLoaded(`${run} ${JSON.stringify(state)}`, () => showRun(run), true).value;
  const view = VIEWS.find((each) => each === query.value["view"]) ?? "curves";
  const own = () => {
    const find = view === "curves" || view === "episodes" ? [FIND] : [];
    return [...keys(loaded.value?.steps ?? []), ...find, ...(view === "curves" ? CURVE_KEYS : [])];
  };
  useKeys(screenKeys, own, [loaded.value, view]);
  if (!loaded.value) return loaded.error ? <Wrong error={loaded.error} /> : <Quiet>Loading.</Quiet>;
  return (
    <div class="screen">
      {loaded.error && <Wrong error={loaded.error} />}
      <Facts detail={loaded.value} />
      <div class="bar">
        <Choice
          label="view"
          options={VIEWS}
          value={view}
          choose={(next) => look({ view: next }, true)}
          names={names(loaded.value)}
        />
      </div>
      {panel(view, loaded.value)}
    </div>
  );
}

function panel(view: View, detail: RunDetail): JSX.Element {
  switch (view) {
    case "curves":
      return <CurvesPanel run={detail.run} seen={seen(detail)} />;
    case "groups":
      return <GridPanel run={detail.run} steps={detail.steps} seen={seen(detail)} />;
    case "episodes":
      return <EpisodesPanel run={detail.run} now={detail.episodes} />;
    default:
      return <RecordPanel detail={detail} />;
  }
}

/** What tells that there may be more to show. */
function seen(detail: RunDetail): string {
  const { step, steps, episodes, scalars, status } = detail;
  return [step, steps.length, episodes, scalars, status].join(" ");
}

function names(detail: RunDetail): { record: string } {
  const troubles = detail.faults.length + detail.alarms.length + detail.broken.length;
  return { record: troubles ? `record (${troubles})` : "record" };
}

function Facts({ detail }: { detail: RunDetail }): JSX.Element {
  const { indexed } = detail;
  const partly = indexed.bytes < indexed.of_bytes;
  return (
    <dl class="facts">
      <Fact name="status">
        <Status status={detail.status} broken={detail.broken.length} />
      </Fact>
      <Fact name="environment">{visible(detail.env ?? "–")}</Fact>
      <Fact name="credit">
        <Method label={detail.credit} />
      </Fact>
      <Fact name="shaping">
        <Method label={detail.shaping} />
      </Fact>
      <Fact name="step">{count(detail.step)}</Fact>
      <Fact name="episodes">
        {count(detail.episodes)}
        {partly && ` (${share(indexed.bytes / indexed.of_bytes)} read)`}
      </Fact>
      <Fact name="success">{share(detail.success)}</Fact>
      <Fact name="started">{when(detail.started)}</Fact>
    </dl>
  );
}

const FIND: Key = {
  keys: "/",
  what: "filter",
  act: () => document.querySelector<HTMLElement>("input[type=search]")?.focus(),
};

function keys(steps: readonly number[]): typeof screenKeys.value {
  const move = (by: number) => {
    const at = steps.indexOf(Number(query.value["step"]));
    const next = at < 0 ? (by > 0 ? steps[0] : steps.at(-1)) : steps[at + by];
    if (next !== undefined) look({ step: String(next) });
  };
  const view = (key: string) => look({ view: VIEWS[Number(key) - 1] }, true);
  return [
    {
      keys: "[ ]",
      what: "the optimiser step before or after",
      act: (key) => move(key === "]" ? 1 : -1),
    },
    { keys: "1 2 3 4", what: "curves, groups, episodes, record", act: view },
  ];
}
