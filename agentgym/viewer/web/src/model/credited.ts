// What an estimator made of the steps of an episode: the one that was trained with, or any other.

import { useMemo } from "preact/hooks";
import { advantages, askLens, type Column } from "./api";
import { type Scale, symmetric } from "./colours";
import { type Loaded, useLoaded } from "./load";
import { query } from "./state";
import type { Episode, Lens } from "./types";

export interface Credited {
  /** The estimator, as the server names it. */
  label: string;
  /** Whether the address asks for another one than was trained with. */
  isAsked: boolean;
  /** The same for all episodes of the group, so that colours mean the same in each. */
  scale: Scale;
  /** The advantage of a step; null where there is none. */
  at: (turn: number) => number | null;
  lens: Loaded<Lens | null>;
}

/** Asks what the address asks for: credit, minus and shaping. */
export function useCredited(run: string, episode: Episode): Credited {
  const asking = asked();
  const isWorth = hasRewards(episode) || isOther(asking);
  const lens = useLoaded(
    JSON.stringify([run, episode.group, asking, isWorth]),
    async () => (isWorth ? await askLens(run, episode.group, asking) : null),
    true,
  ).value;
  return useMemo(() => creditedBy(episode, lens, isOther(asking)), [episode, lens]);
}

/** Advantages of an episode's steps: of the lens, or those of the record while there is none. */
export function creditedBy(
  episode: Episode,
  lens: Loaded<Lens | null>,
  isAsked: boolean,
): Credited {
  const own = lens.value?.steps;
  const steps = own && Object.hasOwn(own, episode.id) ? own[episode.id]! : null;
  const recorded = episode.steps.map((step) => step.advantage);
  return {
    label: lens.value?.label ?? "trained",
    isAsked,
    scale: lens.value ? { kind: "diverging", most: lens.value.most } : symmetric(recorded),
    at: (turn) => (steps ? steps[turn] : isAsked ? null : recorded[turn]) ?? null,
    lens,
  };
}

/**
 * What the estimator that is asked for gives each sampled token; null: what was recorded. Long
 * episodes have long columns, so that it is fetched only where something else is asked.
 */
export function useTokenCredit(run: string, episode: Episode): Column | null {
  const asking = asked();
  const loaded = useLoaded(JSON.stringify([run, episode.id, asking]), async () =>
    isOther(asking) || (!episode.update && hasRewards(episode))
      ? await advantages(run, episode.id, asking)
      : {},
  ).value;
  return loaded.value?.["advantage"] ?? null;
}

/** Whether an estimator has something to look at. */
export function hasRewards(episode: Episode): boolean {
  return episode.outcome !== null && episode.steps.length > 0;
}

type Asking = Record<"credit" | "minus" | "shaping", string | undefined>;

function asked(): Asking {
  const { credit, minus, shaping } = query.value;
  return { credit, minus, shaping };
}

function isOther(asking: Asking): boolean {
  return Object.values(asking).some((each) => each && each !== "trained");
}
