// The recorded numbers of a segment's tokens: first those that are shown, then all others.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { type Columns, columns } from "./api";
import { calm } from "./line";
import { asApiError, type Loaded } from "./load";
import { COLUMNS, MODES } from "./spans";
import { query } from "./state";

/** Tokens of a segment that come with all their columns at once. */
const FEW = 50_000;

/** Columns of a segment; of a long one each is megabytes, so that they come one by one. */
export function useRecorded(
  run: string,
  episode: string,
  segment: number,
  length: number,
): Loaded<Columns> {
  const loaded = useSignal<Loaded<Columns>>({ value: null, error: null });
  useEffect(() => {
    let wanted = true;
    const ask = (names: readonly string[]) => columns(run, episode, segment, names);
    const load = async () => {
      const first = length > FEW ? shownFirst() : COLUMNS;
      const shown = await ask(first);
      if (wanted) loaded.value = { value: shown, error: null };
      const rest: Columns = {};
      for (const name of COLUMNS.filter((each) => !first.includes(each) && !shown[each])) {
        await calm();
        if (wanted) Object.assign(rest, await ask([name]));
      }
      if (wanted) loaded.value = { value: { ...shown, ...rest }, error: null };
    };
    loaded.value = { value: null, error: null };
    load().catch(
      (error: unknown) =>
        wanted && (loaded.value = { value: loaded.value.value, error: asApiError(error) }),
    );
    return () => void (wanted = false);
  }, [run, episode, segment]);
  return loaded.value;
}

/** What the colours need that the address asks for, or else those that a page begins with. */
function shownFirst(): readonly string[] {
  const asked = MODES.find((each) => each.name === query.peek()["colour"]);
  return ["token_ids", ...(asked?.needs ?? ["advantage", "logprobs"])];
}
