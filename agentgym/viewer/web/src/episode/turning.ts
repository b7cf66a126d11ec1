// The keys of an episode: from turn to turn, to its siblings, and to what can be done with it.

import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Key, screenKeys } from "../model/keys";
import { give, labelKeys, noteOf } from "../model/labels";
import { faster } from "../model/playing";
import { MODES } from "../model/spans";
import { atTurn, go, look, lookAtTurn, query, told, whole } from "../model/state";
import type { Episode, EpisodeLine } from "../model/types";
import { shareKeys } from "../parts/share";
import { forkKeys } from "./fork";

export const VIEWS = ["messages", "tokens", "steps"] as const;

/** The keys of an episode; returns whether it is played. */
export function useTurns(
  run: string,
  episode: Episode,
  group: readonly EpisodeLine[],
): Signal<boolean> {
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
      what: `colour tokens: ${MODES.slice(0, 9)
        .map((mode) => mode.name)
        .join(", ")}`,
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
