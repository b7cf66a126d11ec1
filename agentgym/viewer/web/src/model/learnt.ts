// What a group teaches, in plain words.

import { cell, counted, signed } from "./format";
import type { GroupShown, Num } from "./types";

export interface Told {
  text: string;
  /** The step that is meant: of which episode, which turn. */
  where: { id: string; turn: number } | null;
}

/** The rollouts of the group, without what they go on from. */
export function rolloutsOf(shown: GroupShown): GroupShown["members"] {
  return shown.members.filter((each) => !each.is_parent);
}

/** What an episode was paid: the reward that was trained on, or else its outcome; a fault has neither. */
export function paidOf(line: { end: string; reward: Num; outcome: Num }): Num {
  return line.end === "error" ? null : (line.reward ?? line.outcome);
}

/** Why nothing, or little, is learnt of rollouts that were all paid alike; null: they were not. */
export function toldOfEqual(shown: GroupShown): string | null {
  const rewards = rolloutsOf(shown)
    .map(paidOf)
    .filter((each) => each !== null);
  const first = rewards[0];
  if (rewards.length < 2 || rewards.some((each) => each !== first)) return null;
  const start = `All ${rewards.length} rewards are ${cell(first)}: zero variance.`;
  const values = valuesOf(shown);
  if (!values.length) return `${start} No advantage is known here.`;
  return values.some((each) => each !== 0)
    ? `${start} Yet there are advantages: the estimator does not only compare the rollouts of a group.`
    : `${start} An estimator that compares rollouts sees no difference, every advantage is 0, and nothing is learnt here.`;
}

/** What the difference of two estimators says; null: only one was asked. */
export function toldOfDifference(shown: GroupShown, minus: string | undefined): Told | null {
  if (!shown.credit || !minus) return null;
  const known = valuesOf(shown);
  const most = largest(shown);
  const equal = known.filter((each) => Math.abs(each) < 1e-9).length;
  if (!most) return { text: "Both give every step the same.", where: null };
  const up = known.filter((each) => each >= 1e-9).length;
  const text =
    `Blue steps get more from the first estimator than from ${minus}, orange ones less: ` +
    `${counted(up, "step")} more, ${known.length - up - equal} less, ${equal} the same. ` +
    `They differ most by ${signed(most.value)}`;
  return { text, where: most };
}

function largest(shown: GroupShown): { id: string; turn: number; value: number } | null {
  let found: { id: string; turn: number; value: number } | null = null;
  for (const [id, steps] of Object.entries(shown.credit?.steps ?? {})) {
    for (const [turn, value] of steps.entries()) {
      const size = Math.abs(value ?? 0);
      if (size >= 1e-9 && size > Math.abs(found?.value ?? 0)) found = { id, turn, value: value! };
    }
  }
  return found;
}

function valuesOf(shown: GroupShown): number[] {
  const all: Num[] = Object.values(shown.credit?.steps ?? {}).flat();
  return all.filter((each): each is number => each !== null && Number.isFinite(each));
}
