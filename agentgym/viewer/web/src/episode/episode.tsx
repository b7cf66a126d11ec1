// One episode: what was said, its exact tokens, and what the training made of them.

import "./episode.css";
import { visible } from "../model/ansi";
import { type Signal, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { useCredited } from "../model/credited";
import { Asking } from "../parts/lens";
import { members, showLedger, showTags } from "../model/api";
import { colourOf, symmetric } from "../model/colours";
import { cell, count, number, seconds } from "../model/format";
import { forkKeys, ForkPanel } from "./fork";
import { ForkedFrom, ForksOf } from "../parts/forked";
import { Inspector, type Picked } from "./inspector";
import { type Key, screenKeys } from "../model/keys";
import { Labelling } from "./labelling";
import { give, labelKeys, noteOf } from "../model/labels";
import { TurnRewards } from "./ledger";
import { type Loaded, useLoaded } from "../model/load";
import { Messages } from "./messages";
import { Panels } from "./panels";
import { Choice, Quiet, Text, Wrong } from "../parts/parts";
import { around, faster } from "../model/playing";
import { Ribbon } from "./ribbon";
import { Share, shareKeys } from "../parts/share";
import { file } from "../model/shared";
import { useEpisode } from "../model/opened";
import { MODES } from "../model/spans";
import { atTurn, go, look, lookAtTurn, query, told, whole } from "../model/state";
import { givenLedger, noLedger } from "../model/terms";
import { Timeline } from "./timeline";
import { Tokens } from "./tokens";
import type { Episode, EpisodeLine, SaidEpisode } from "../model/types";

const VIEWS = ["messages", "tokens", "steps"] as const;

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
  const picked = useSignal<Picked | null>(null);
  const group =
    useLoaded(`${run}\n${episode.group}`, () => members(run, episode.group)).value.value ?? [];
  const playing = useTurns(run, episode, group);
  const { shaping } = query.value;
  const asked = useLoaded(
    JSON.stringify([run, episode.id, shaping]),
    () => showLedger(run, episode.id, shaping),
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
          <Ribbon episode={episode} turn={turn} credited={credited} />
          {view === "tokens" && <Inspector run={run} episode={episode.id} picked={picked} />}
          <Panels run={run} episode={episode} turn={whole("turn") === null ? null : turn} />
          {isThere && (
            <TurnRewards ledger={ledger} turn={turn} replies={said.value?.steps[turn]?.replies} />
          )}
        </aside>
      </div>
      {asked.error && <Wrong error={asked.error} />}
      <Timeline episode={episode} turn={turn} ledger={ledger} playing={playing} />
    </div>
  );
}

function Facts({
  run,
  episode,
  group,
}: {
  run: string;
  episode: Episode;
  group: readonly EpisodeLine[];
}): JSX.Element {
  const tokens = episode.steps.reduce(
    (sum, { tokens }) => sum + (tokens ? tokens[1] - tokens[0] : 0),
    0,
  );
  const reward = group.find((each) => each.id === episode.id)?.reward;
  const tags = useLoaded(`${run}\n${episode.id}`, () => showTags(run, episode.id)).value.value;
  return (
    <dl class="facts">
      <div>
        <dt>outcome</dt>
        <dd>{number(episode.outcome)}</dd>
      </div>
      <div>
        <dt>reward</dt>
        <dd>{cell(reward)}</dd>
      </div>
      <div>
        <dt>end</dt>
        <dd class={episode.end === "error" ? "bad" : ""}>
          {episode.end}, <Text text={episode.reason} />
        </dd>
      </div>
      <div>
        <dt>turns</dt>
        <dd>{count(episode.steps.length)}</dd>
      </div>
      <div>
        <dt>tokens</dt>
        <dd>{count(tokens)}</dd>
      </div>
      <div>
        <dt>took</dt>
        <dd>{seconds(episode.seconds)}</dd>
      </div>
      <div>
        <dt>trained in step</dt>
        <dd>{count(episode.update?.step)}</dd>
      </div>
      <div>
        <dt>group</dt>
        <dd>
          <a href={printAddress({ screen: "group", run, group: episode.group })}>
            {visible(episode.group)}
          </a>
          {group.length > 1 && <Siblings run={run} id={episode.id} group={group} />}
        </dd>
      </div>
      {episode.parent && <ForkedFrom run={run} parent={episode.parent} turn={episode.fork_step} />}
      <ForksOf run={run} id={episode.id} />
      <Labelling run={run} episode={episode} />
      {tags && tags.length > 0 && (
        <div>
          <dt>tags</dt>
          <dd>
            {tags.map((tag) => (
              <span
                class={tag.tripwire || tag.name === "drift" ? "tag bad" : "tag"}
                title={tag.note}
              >
                {tag.name}
              </span>
            ))}
          </dd>
        </div>
      )}
    </dl>
  );
}

const SIBLINGS = 24; // that are shown at once, those around the one that is looked at

function Siblings({
  run,
  id,
  group,
}: {
  run: string;
  id: string;
  group: readonly EpisodeLine[];
}): JSX.Element {
  const scale = symmetric(group.map(paid));
  const here = group.findIndex((each) => each.id === id);
  const [first, stop] = around(here, group.length, SIBLINGS);
  const shown = group.slice(first, stop);
  return (
    <span class="siblings" role="group" aria-label="episodes of the group">
      {shown.map((each, at) => (
        <a
          href={printAddress({ screen: "episode", run, episode: each.id })}
          aria-current={each.id === id ? "true" : undefined}
          class={colourOf(scale, paid(each))}
          title={`${each.id}: ${cell(paid(each))}`}
        >
          {each.member ?? first + at}
        </a>
      ))}
      {shown.length < group.length && <span class="quiet"> of {group.length}</span>}
    </span>
  );
}

function paid(line: EpisodeLine): number | null {
  return line.reward ?? line.outcome;
}

/** The keys of an episode; returns whether it is played. */
function useTurns(run: string, episode: Episode, group: readonly EpisodeLine[]): Signal<boolean> {
  const playing = useSignal(false);
  const last = episode.steps.length - 1;
  const move = (by: number) => {
    const next = Math.max(0, Math.min(last, (whole("turn") ?? (by > 0 ? -1 : 0)) + by));
    lookAtTurn(next);
  };
  useEffect(() => {
    screenKeys.value = keys({ run, episode, group, playing, move });
    return () => void (screenKeys.value = []);
  }, [episode, group]);
  return playing;
}

/** At once where the field is there, so that the letters typed next are not lost. */
function focusFind(isFirst = true): void {
  const field = document.querySelector<HTMLElement>("input[type=search]");
  if (field) field.focus();
  else if (isFirst) requestAnimationFrame(() => focusFind(false));
}

interface Turning {
  run: string;
  episode: Episode;
  group: readonly EpisodeLine[];
  playing: Signal<boolean>;
  move: (by: number) => void;
}

function keys({ run, episode, group, playing, move }: Turning): Key[] {
  const sibling = (by: number) => {
    const next = group[group.findIndex((each) => each.id === episode.id) + by];
    if (!next && group.length)
      told.value = `no episode of the group is ${by > 0 ? "behind" : "before"} it`;
    if (next)
      go(
        { screen: "episode", run, episode: next.id },
        { ...query.value, turn: undefined, token: undefined, segment: undefined, fork: undefined },
      );
  };
  const noted = (episode.label !== null && episode.notes.at(-1)?.text) || "";
  const colour = (key: string) => look({ view: "tokens", colour: MODES[Number(key) - 1]?.name });
  return [
    {
      keys: "j k ] [",
      what: "the next turn, the one before",
      act: (key) => move("j]".includes(key) ? 1 : -1),
    },
    {
      keys: "< >",
      what: "play slower, faster",
      act: (key) => look({ speed: String(faster(query.value["speed"], key === ">" ? 1 : -1)) }),
    },
    {
      keys: "J K",
      what: "the next episode of the group, the one before",
      act: (key) => sibling(key === "J" ? 1 : -1),
    },
    { keys: "g", what: "the group", act: () => go({ screen: "group", run, group: episode.group }) },
    { keys: "Space", what: "play the turns", act: () => (playing.value = !playing.value) },
    {
      keys: "m t s",
      what: "messages, tokens, steps",
      act: (key) => look({ view: VIEWS.find((each) => each[0] === key) }),
    },
    {
      keys: "1 2 3 4 5 6 7 8 9",
      what: `colour tokens: ${MODES.map((mode) => mode.name).join(", ")}`,
      act: colour,
    },
    {
      keys: "ArrowLeft ArrowRight",
      what: "the token before, the next token",
      act: (key) => pickNext(key === "ArrowRight" ? 1 : -1, episode),
    },
    {
      keys: "/",
      what: "find in the messages",
      act: () => {
        if (query.value["view"] === "tokens") look({ view: undefined });
        focusFind();
      },
    },
    ...forkKeys(),
    ...labelKeys((label) => void give(run, episode.id, label, noteOf(run, episode.id, noted))),
    {
      keys: "n",
      what: "write a note",
      act: () => document.querySelector<HTMLElement>("input.note")?.focus(),
    },
    ...shareKeys(),
  ];
}

function pickNext(by: number, episode: Episode): void {
  const turn = whole("turn") ?? 0;
  const tokens = episode.steps[turn]?.tokens;
  if (!tokens) return;
  const next = (whole("token") ?? -1) + by;
  look({
    ...atTurn(turn),
    token: String(Math.max(0, Math.min(tokens[1] - tokens[0] - 1, next))),
  });
}
