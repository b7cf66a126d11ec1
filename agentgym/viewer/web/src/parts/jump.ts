// Follows the turn that the address names.

import { type Signal, useSignal } from "@preact/signals";
import { useLayoutEffect } from "preact/hooks";
import type { Jump } from "./list";
import { query } from "../model/state";

/** Brings what belongs to a turn to the upper edge whenever the address names another one. */
export function useJump(turn: number, indexOf: (turn: number) => number): Signal<Jump | null> {
  const jump = useSignal<Jump | null>(null);
  const named = query.value["turn"];
  useLayoutEffect(() => {
    if (named !== undefined) jump.value = { index: indexOf(turn) };
  }, [turn, named]);
  return jump;
}
