// What is known of an episode at a glance: how it ended, what it got, whose sibling it is.

import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { visible } from "../model/ansi";
import { showTags } from "../model/api";
import { colourOf, symmetric } from "../model/colours";
import { cell, count, number, seconds } from "../model/format";
import { paidOf } from "../model/learnt";
import { useLoaded } from "../model/load";
import { around } from "../model/playing";
import { rolloutNames } from "../model/rollouts";
import type { Episode, EpisodeLine } from "../model/types";
import { ForkedFrom, ForksOf } from "../parts/forked";
import { Fact, Text } from "../parts/parts";
import { Labelling } from "./labelling";

export function Facts({
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
      <Fact name="outcome">{episode.end === "error" ? "–" : number(episode.outcome)}</Fact>
      <Fact name="reward">{cell(reward)}</Fact>
      <Fact name="end" style={episode.end === "error" ? "bad" : ""}>
        {episode.end}, <Text text={episode.reason} />
      </Fact>
      <Fact name="turns">{count(episode.steps.length)}</Fact>
      <Fact name="tokens">{count(tokens)}</Fact>
      <Fact name="took">{seconds(episode.seconds)}</Fact>
      <Fact name="trained in step">{count(episode.update?.step)}</Fact>
      <Fact name="group">
        <a href={printAddress({ screen: "group", run, group: episode.group })}>
          {visible(episode.group)}
        </a>
        {group.length > 1 && <Siblings run={run} id={episode.id} group={group} />}
      </Fact>
      {episode.parent && <ForkedFrom run={run} parent={episode.parent} turn={episode.fork_step} />}
      <ForksOf run={run} id={episode.id} />
      <Labelling run={run} episode={episode} />
      {tags && tags.length > 0 && (
        <Fact name="tags">
          {tags.map((tag) => (
            <span class={tag.tripwire || tag.name === "drift" ? "tag bad" : "tag"} title={tag.note}>
              {tag.name}
            </span>
          ))}
        </Fact>
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
  const scale = symmetric(group.map(paidOf));
  const here = group.findIndex((each) => each.id === id);
  const [first, stop] = around(here, group.length, SIBLINGS);
  const shown = group.slice(first, stop);
  const names = rolloutNames(group);
  return (
    <span class="siblings" role="group" aria-label="episodes of the group">
      {shown.map((each, at) => (
        <a
          href={printAddress({ screen: "episode", run, episode: each.id })}
          aria-current={each.id === id ? "true" : undefined}
          class={colourOf(scale, paidOf(each))}
          title={`${each.id}: ${cell(paidOf(each))}`}
        >
          {visible(names[first + at]!)}
        </a>
      ))}
      {shown.length < group.length && <span class="quiet"> of {group.length}</span>}
    </span>
  );
}
