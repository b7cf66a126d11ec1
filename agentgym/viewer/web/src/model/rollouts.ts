// What the rollouts of a group are called: by their numbers, as long as those tell them apart.

import type { EpisodeLine, Num } from "./types";

type Rollout = Pick<EpisodeLine, "id" | "member"> & {
  attempt?: Num;
  is_parent?: boolean;
};

/**
 * A name for each: `4`, or `4.1` for the second attempt where several are of one number, or else its
 * id. Episodes without a number are counted.
 */
export function rolloutNames(group: readonly Rollout[]): string[] {
  const numbers = group.map((each, at) => (each.is_parent ? "parent" : String(each.member ?? at)));
  const attempts = group.map((each, at) => `${numbers[at]}.${each.attempt ?? 0}`);
  return group.map((each, at) =>
    isAlone(numbers, at) ? numbers[at]! : isAlone(attempts, at) ? attempts[at]! : each.id,
  );
}

/** The name of one of them; empty where it is none of them. */
export function rolloutName(group: readonly Rollout[], id: string): string {
  return rolloutNames(group)[group.findIndex((each) => each.id === id)] ?? "";
}

function isAlone(names: readonly string[], at: number): boolean {
  return names.indexOf(names[at]!) === at && names.lastIndexOf(names[at]!) === at;
}
