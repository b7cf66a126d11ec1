// Two episodes that were chosen on another screen, aligned.

import type { JSX } from "preact";
import { Aligned, alignedKeys } from "../group/aligned";
import { showBeside } from "../model/api";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { useLoaded } from "../model/load";
import { Quiet, Wrong } from "../parts/parts";
import { look, query } from "../model/state";

export interface Pick {
  run: string;
  episode: string;
}

/** As it stands in addresses: names of runs have no `~`. */
export const pickName = (pick: Pick) => `${pick.run}~${pick.episode}`;

function readPick(text: string | undefined): Pick | null {
  const at = text?.indexOf("~") ?? -1;
  return text && at > 0 ? { run: text.slice(0, at), episode: text.slice(at + 1) } : null;
}

/** The first and the second episode that the address names. */
export function picks(): [Pick | null, Pick | null] {
  return [readPick(query.value["first"]), readPick(query.value["second"])];
}

export const dropPicks = () => look({ first: undefined, second: undefined, row: undefined });

/** `keys` are those of the screen around it. */
export function Beside({ keys }: { keys: readonly Key[] }): JSX.Element | null {
  const [first, second] = picks();
  if (!first || !second) return null;
  return <Shown {...{ first, second, keys }} />;
}

interface Props {
  first: Pick;
  second: Pick;
  keys: readonly Key[];
}

function Shown({ first, second, keys }: Props): JSX.Element {
  const name = `${pickName(first)} ${pickName(second)}`;
  const ask = () => showBeside(first.run, first.episode, second.run, second.episode);
  const loaded = useLoaded(name, ask).value;
  const shown = loaded.value;
  const close: Key = { keys: "q", what: "close the two episodes", act: dropPicks };
  useKeys(screenKeys, () => [...keys, ...(shown ? alignedKeys(shown) : []), close], [shown]);
  return (
    <section class="beside" aria-label="two episodes side by side">
      <header class="bar">
        <h2>Two episodes side by side</h2>
        <span class="quiet">{shown && toldOf(shown.diverge, shown.reconverge)}</span>
        <button type="button" onClick={dropPicks} aria-label="close the two episodes">
          ×
        </button>
      </header>
      {loaded.error && <Wrong error={loaded.error} />}
      {!loaded.error && !shown && <Quiet>Loading.</Quiet>}
      {shown && <Aligned shown={shown} run={first.run} advantages={null} />}
    </section>
  );
}

function toldOf(diverge: number | null, reconverge: number | null): string {
  if (diverge === null) return "they did the same";
  const again =
    reconverge === null ? "and never meet again" : `and meet again in row ${reconverge}`;
  return `they part in row ${diverge} ${again}`;
}
