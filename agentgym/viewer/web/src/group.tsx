// The rollouts of one group, side by side, coloured by what an estimator gave each step.

import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "./address";
import { visible } from "./ansi";
import { showGroup } from "./api";
import { type Scale, symmetric } from "./colours";
import { folds, type Line } from "./folds";
import { cell, count } from "./format";
import { type Key, screenKeys } from "./keys";
import { Asking } from "./lens";
import { Windowed } from "./list";
import { useLoaded } from "./load";
import { Choice, Legend, Quiet, Shade, Text, Wrong } from "./parts";
import { Share, shareKeys } from "./share";
import { look, query } from "./state";
import { StateMap } from "./statemap";
import type { GroupShown } from "./types";

const COLUMN = 144;
const VIEWS = ["side by side", "map"] as const;
const show = (view: (typeof VIEWS)[number]) => look({ view: view === "map" ? view : undefined });
const KEYS: readonly Key[] = [
  { keys: "d", what: "rollouts side by side", act: () => show("side by side") },
  { keys: "m", what: "map of the states", act: () => show("map") },
];

export function Group({ run, group }: { run: string; group: string }): JSX.Element {
  const { credit, minus, shaping } = query.value;
  const key = JSON.stringify([run, group, credit, minus, shaping]);
  const loaded = useLoaded(
    key,
    () => showGroup(run, group, { credit, minus, shaping }),
    true,
  ).value;
  const view = query.value["view"] === "map" ? "map" : "side by side";
  useEffect(() => void (screenKeys.value = [...KEYS, ...shareKeys()]), []);
  return (
    <div class="screen">
      {loaded.value && <Facts shown={loaded.value} />}
      <div class="bar">
        <Choice label="view" options={VIEWS} value={view} choose={show} />
        <Asking label={loaded.value?.credit?.label ?? null} />
        <Share run={run} group={group} />
      </div>
      {loaded.error && <Wrong error={loaded.error} />}
      {loaded.value?.trouble.map((each) => (
        <p class="bad pad">
          <Text text={each} />
        </p>
      ))}
      {view === "map" && <StateMap run={run} group={group} />}
      {view !== "map" && loaded.value && <Aligned run={run} shown={loaded.value} />}
      {!loaded.value && !loaded.error && <Quiet>Loading.</Quiet>}
    </div>
  );
}

function Facts({ shown }: { shown: GroupShown }): JSX.Element {
  const rows = (at: number | null) => (at === null ? "nowhere" : `row ${at}`);
  return (
    <dl class="facts">
      <div>
        <dt>task</dt>
        <dd>{visible(shown.task)}</dd>
      </div>
      <div>
        <dt>step</dt>
        <dd>{count(shown.step)}</dd>
      </div>
      <div>
        <dt>rollouts</dt>
        <dd>
          {shown.members.length}
          {shown.of > shown.members.length && ` of ${shown.of}`}
        </dd>
      </div>
      <div>
        <dt>they part</dt>
        <dd>{rows(shown.diverge)}</dd>
      </div>
      <div>
        <dt>and meet again</dt>
        <dd>{rows(shown.reconverge)}</dd>
      </div>
    </dl>
  );
}

function Aligned({ run, shown }: { run: string; shown: GroupShown }): JSX.Element {
  const unfolded = useSignal(false);
  const lines = useMemo(() => folds(shown.rows, unfolded.value), [shown, unfolded.value]);
  const scale = useMemo(() => symmetric(Object.values(shown.credit?.steps ?? {}).flat()), [shown]);
  const columns = {
    gridTemplateColumns: `3em repeat(${shown.members.length}, minmax(${COLUMN}px, 1fr))`,
  };
  return (
    <>
      <div class="bar">
        <Legend scale={scale} what="advantage" />
      </div>
      <div class="aligned" role="table" aria-label="rollouts side by side">
        <div class="fill" style={{ minWidth: `${shown.members.length * COLUMN + 60}px` }}>
          <div role="rowgroup">
            <div class="aligned-row head" role="row" style={columns}>
              <span role="columnheader" />
              {shown.members.map((each) => (
                <Head run={run} member={each} />
              ))}
            </div>
          </div>
          <Windowed
            count={lines.length}
            guess={64}
            of={`${shown.group} ${unfolded.value}`}
            label="rows"
            roles="rows"
            render={(index) => (
              <div class="aligned-row" style={columns}>
                <Row
                  {...{ run, shown, scale }}
                  line={lines[index]!}
                  unfold={() => (unfolded.value = true)}
                />
              </div>
            )}
          />
        </div>
      </div>
    </>
  );
}

type Member = GroupShown["members"][number];

function Head({ run, member }: { run: string; member: Member }): JSX.Element {
  return (
    <span role="columnheader">
      <a href={printAddress({ screen: "episode", run, episode: member.id })} title={member.id}>
        {count(member.member)}
      </a>{" "}
      <span class="num">{cell(member.reward ?? member.outcome)}</span>{" "}
      <span class={member.end === "error" ? "bad" : "quiet"}>{member.end}</span>
    </span>
  );
}

interface RowProps {
  run: string;
  shown: GroupShown;
  scale: Scale;
  line: Line;
  unfold: () => void;
}

function Row({ run, shown, scale, line, unfold }: RowProps): JSX.Element {
  if (line.hidden > 0) {
    return (
      <button type="button" class="unfold" onClick={unfold}>
        {line.hidden} steps in which all did the same
      </button>
    );
  }
  const row = shown.rows[line.row]!;
  const mark = line.row === shown.diverge ? "here they part" : row.rejoins ? "they meet again" : "";
  return (
    <>
      <span role="rowheader" class={`num ${mark ? "bad" : "quiet"}`} title={mark}>
        {line.row}
        {mark && (line.row === shown.diverge ? " ≠" : " =")}
      </span>
      {row.cells.map((step, at) => (
        <Cell {...{ run, step, scale, same: row.same }} member={shown.members[at]!} shown={shown} />
      ))}
    </>
  );
}

interface CellProps {
  run: string;
  step: number | null;
  scale: Scale;
  same: string;
  member: Member;
  shown: GroupShown;
}

function Cell({ run, step, scale, same, member, shown }: CellProps): JSX.Element {
  if (step === null) return <span role="cell" class="gap" />;
  const advantage = shown.credit?.steps[member.id]?.[step] ?? null;
  const to = printAddress({ screen: "episode", run, episode: member.id }, { turn: String(step) });
  const action = visible(member.actions[step] ?? "");
  return (
    <span role="cell" class={`did ${same}`}>
      <span class="did-head">
        <a class="num" href={to} title={`turn ${step}`}>
          {step}
        </a>
        <Shade value={advantage} scale={scale} what="advantage" />
      </span>
      <code title={action}>{action || "nothing was said"}</code>
    </span>
  );
}
