// An episode on the screen: at first what its view needs, what was said in it where that is shown.

import { useMemo } from "preact/hooks";
import { outlineEpisode, showEpisode, showEpisodeLater } from "./api";
import { type Loaded, useLoaded } from "./load";
import type { Episode, SaidEpisode } from "./types";

/** Turns of an episode of which everything comes, though not all of it is looked at. */
const FEW = 1_000;

export interface Opened {
  episode: Loaded<Episode>;
  /** The same with what was said; null while nobody needs it. */
  said: Loaded<SaidEpisode>;
}

/** Asks for an episode, at once with what was said if `isSaid`, else without or afterwards. */
export function useEpisode(run: string, id: string, isSaid: boolean): Opened {
  const key = `${run}\n${id}`;
  const whole = useMemo(() => isSaid, [key]);
  const first = useLoaded<Episode>(key, () =>
    (whole ? showEpisode : outlineEpisode)(run, id),
  ).value;
  const isShort = first.value !== null && first.value.id === id && first.value.steps.length <= FEW;
  const later = whole ? null : isSaid ? showEpisode : isShort ? showEpisodeLater : null;
  const rest = useLoaded<SaidEpisode | null>(`${key}\n${later !== null}`, async () =>
    later ? await later(run, id) : null,
  ).value;
  return { episode: first, said: (whole ? first : rest) as Loaded<SaidEpisode> };
}
