// One group: its rollouts side by side or as a map, and what an estimator gave each step.

import "./group.css";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { Aligned, alignedKeys } from "./aligned";
import { visible } from "../model/ansi";
import { showGroup } from "../model/api";
import { ForkedFrom } from "../parts/forked";
import { count } from "../model/format";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { rolloutsOf, toldOfDifference, toldOfEqual } from "../model/learnt";
import { Asking } from "../parts/lens";
import { rolloutName } from "../model/rollouts";
import { useLoaded } from "../model/load";
import { Choice, Fact, Quiet, Text, Wrong } from "../parts/parts";
import { Share, shareKeys } from "../parts/share";
import { look, place, query } from "../model/state";
import { StateMap } from "./statemap";
import type { GroupShown } from "../model/types";

const VIEWS = ["side by side", "map"] as const;
const show = (view: (typeof VIEWS)[number]) => look({ view: view === "map" ? view : undefined });
const KEYS: readonly Key[] = [
  { keys: "d", what: "rollouts side by side", act: () => show("side by side") },
  { keys: "m", what: "map of the states", act: () => show("map") },
];

function keys(shown: GroupShown | null): Key[] {
  return [...KEYS, ...(shown ? alignedKeys(shown) : []), ...shareKeys()];
}

export function Group({ run, group }: { run: string; group: string }): JSX.Element {
  const { credit, minus, shaping } = query.value;
  const key = JSON.stringify([run, group, credit, minus, shaping]);
  const loaded = useLoaded(
    key,
    () => showGroup(run, group, { credit, minus, shaping }),
    true,
  ).value;
  const view = query.value["view"] === "map" ? "map" : "side by side";
  const shown = loaded.value;
  useKeys(screenKeys, () => (view === "map" ? null : keys(shown)), [shown, view]);
  return (
    <div class="screen">
      {shown && <Facts run={run} shown={shown} />}
      <div class="bar">
        <Choice label="view" options={VIEWS} value={view} choose={show} />
        <Asking label={shown?.credit?.label ?? null} />
        <Share run={run} group={group} />
      </div>
      {loaded.error && <Wrong error={loaded.error} />}
      {shown?.trouble.map((each) => (
        <p class="bad pad">
          <Text text={each} />
        </p>
      ))}
      {shown && <Learnt run={run} shown={shown} />}
      {view === "map" && <StateMap run={run} group={group} keys={KEYS} />}
      {view !== "map" && shown && (
        <Aligned run={run} shown={shown} advantages={shown.credit?.steps ?? null} />
      )}
      {!shown && !loaded.error && <Quiet>Loading.</Quiet>}
    </div>
  );
}

function Learnt({ run, shown }: { run: string; shown: GroupShown }): JSX.Element | null {
  const equal = toldOfEqual(shown);
  const difference = toldOfDifference(shown, query.value["minus"]);
  if (!equal && !difference) return null;
  const { where = null } = difference ?? {};
  return (
    <div class="learnt links" role="note">
      {equal && <p>{equal}</p>}
      {difference && (
        <p>
          {visible(difference.text)}
          {where && (
            <>
              {", at "}
              <a
                href={printAddress(
                  { screen: "episode", run, episode: where.id },
                  { turn: String(where.turn) },
                )}
              >
                rollout {visible(rolloutName(shown.members, where.id))}, turn {where.turn}
              </a>
              .
            </>
          )}
        </p>
      )}
    </div>
  );
}

function Facts({ run, shown }: { run: string; shown: GroupShown }): JSX.Element {
  const many = rolloutsOf(shown).length;
  const rows = (at: number | null) =>
    at === null ? (
      "nowhere"
    ) : (
      <a href={printAddress(place.value, { ...query.value, row: String(at) })}>row {at}</a>
    );
  return (
    <dl class="facts">
      <Fact name="task">{visible(shown.task)}</Fact>
      <Fact name="step">{count(shown.step)}</Fact>
      <Fact name="rollouts">
        {many}
        {shown.of > many && ` of ${shown.of}`}
      </Fact>
      {shown.forked && <ForkedFrom run={run} {...shown.forked} />}
      <Fact name="they part">{rows(shown.diverge)}</Fact>
      <Fact name="all meet again">{rows(shown.reconverge)}</Fact>
    </dl>
  );
}
