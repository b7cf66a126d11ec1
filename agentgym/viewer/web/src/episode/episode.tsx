// One episode: what was said, its exact tokens, and what the training made of them.

import "./episode.css";
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { members, showLedger } from "../model/api";
import { hasRewards, useCredited } from "../model/credited";
import { type Loaded, useLoaded } from "../model/load";
import { useEpisode } from "../model/opened";
import { file } from "../model/shared";
import { look, query, whole } from "../model/state";
import { givenLedger, noLedger } from "../model/terms";
import type { Episode, SaidEpisode } from "../model/types";
import { Asking } from "../parts/lens";
import { Choice, Quiet, Text, Wrong } from "../parts/parts";
import { Share } from "../parts/share";
import { Facts } from "./facts";
import { ForkPanel } from "./fork";
import { Inspector, type Picked } from "./inspector";
import { TurnRewards } from "./ledger";
import { Messages } from "./messages";
import { Panels } from "./panels";
import { Ribbon } from "./ribbon";
import { Timeline } from "./timeline";
import { Tokens } from "./tokens";
import { useTurns, VIEWS } from "./turning";

export function EpisodeScreen({ run, id }: { run: string; id: string }): JSX.Element {
  const { episode, said } = useEpisode(run, id, viewOf() !== "tokens");
  if (episode.error) return <Wrong error={episode.error} />;
  if (!episode.value || episode.value.id !== id) return <Quiet>Loading.</Quiet>;
  return <Shown key={id} run={run} episode={episode.value} said={said} />;
}

function viewOf(): (typeof VIEWS)[number] {
  return VIEWS.find((each) => each === query.value["view"]) ?? "messages";
}

interface ShownProps {
  run: string;
  episode: Episode;
  said: Loaded<SaidEpisode>;
}

function Shown({ run, episode, said }: ShownProps): JSX.Element {
  const view = viewOf();
  const turn = Math.min(whole("turn") ?? 0, Math.max(0, episode.steps.length - 1));
  const hasTurns = episode.steps.length > 0;
  const picked = useSignal<Picked | null>(null);
  const group =
    useLoaded(`${run}\n${episode.group}`, () => members(run, episode.group)).value.value ?? [];
  const playing = useTurns(run, episode, group);
  const { shaping } = query.value;
  const asked = useLoaded(
    JSON.stringify([run, episode.id, shaping]),
    async () =>
      hasRewards(episode) || shaping
        ? await showLedger(run, episode.id, shaping)
        : { ledger: null },
    true,
  ).value;
  const isThere = !!asked.value || !!asked.error;
  const given = useMemo(
    () => (isThere ? givenLedger(episode.steps) : noLedger(episode.steps)),
    [episode, isThere],
  );
  const ledger = asked.value?.ledger ?? given;
  const credited = useCredited(run, episode);
  const { lens } = credited;
  const noted = episode.credits.map((label) => `noted:${label}`);
  return (
    <div class="screen">
      <Facts run={run} episode={episode} group={group} />
      {episode.trouble && (
        <p class="bad pad">
          <Text text={episode.trouble} />
        </p>
      )}
      {query.value["fork"] && !file && <ForkPanel run={run} episode={episode} turn={turn} />}
      <div class={`split view-${view}`}>
        <div class="fill">
          <div class="bar views">
            <Choice
              label="view"
              options={VIEWS}
              value={view}
              choose={(next) => look({ view: next })}
            />
            <Asking
              label={credited.isAsked ? credited.label : null}
              known={[...noted, ...(lens.value?.known ?? [])]}
            />
            <Share run={run} episode={episode.id} />
          </div>
          {credited.isAsked && lens.error && <Wrong error={lens.error} />}
          {view === "tokens" ? (
            <Tokens {...{ run, episode, turn, picked, credited }} />
          ) : said.value ? (
            <Messages episode={said.value} turn={turn} credited={credited} />
          ) : said.error ? (
            <Wrong error={said.error} />
          ) : (
            <Quiet>Loading.</Quiet>
          )}
        </div>
        <aside class="side" aria-label="steps" tabIndex={0}>
          {hasTurns && <Ribbon episode={episode} turn={turn} credited={credited} />}
          {view === "tokens" && episode.segments.length > 0 && (
            <Inspector run={run} episode={episode.id} picked={picked} />
          )}
          <Panels run={run} episode={episode} turn={whole("turn") === null ? null : turn} />
          {isThere && hasTurns && (
            <TurnRewards ledger={ledger} turn={turn} replies={said.value?.steps[turn]?.replies} />
          )}
        </aside>
      </div>
      {asked.error && <Wrong error={asked.error} />}
      {hasTurns && <Timeline {...{ episode, turn, ledger, playing }} />}
    </div>
  );
}
