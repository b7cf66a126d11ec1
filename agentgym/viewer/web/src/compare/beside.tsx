// Two episodes that were chosen on another screen, aligned.

import type { JSX } from "preact";
import { Aligned, alignedKeys } from "../group/aligned";
import { showBeside } from "../model/api";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { useLoaded } from "../model/load";
import { Quiet, Wrong } from "../parts/parts";
import { look, query, told } from "../model/state";

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

interface Props {
  /** Those of the screen around it. */
  keys: readonly Key[];
  /** Episodes of one task and one evaluation, which are stepped through. */
  cells: readonly (readonly Pick[])[];
}

export function Beside({ keys, cells }: Props): JSX.Element | null {
  const [first, second] = picks();
  if (!first || !second) return null;
  return <Shown {...{ first, second, keys, cells }} />;
}

/** One of the two, and all that may stand in its place. */
interface Side {
  name: "first" | "second";
  own: readonly Pick[];
  at: number;
}

function sideOf(name: Side["name"], pick: Pick, cells: Props["cells"]): Side {
  const isIt = (each: Pick) => pickName(each) === pickName(pick);
  const own = cells.find((cell) => cell.some(isIt)) ?? [pick];
  return { name, own, at: own.findIndex(isIt) };
}

function step({ name, own, at }: Side, by: number): void {
  const next = own[at + by];
  if (next) look({ [name]: pickName(next), row: undefined });
  else told.value = `no ${name} episode is ${by > 0 ? "behind" : "before"} it`;
}

function sideKeys(first: Side, second: Side): Key[] {
  return [
    {
      keys: "j k",
      what: "the next episode of the second cell, the one before",
      act: (key) => step(second, key === "j" ? 1 : -1),
    },
    {
      keys: "J K",
      what: "the next episode of the first cell, the one before",
      act: (key) => step(first, key === "J" ? 1 : -1),
    },
  ];
}

function Stepper({ side }: { side: Side }): JSX.Element | null {
  const { name, own, at } = side;
  if (own.length < 2) return null;
  return (
    <span class="stepper" role="group" aria-label={`${name} episode`}>
      {name}{" "}
      <button type="button" disabled={at === 0} aria-label="before" onClick={() => step(side, -1)}>
        ‹
      </button>{" "}
      {at + 1} of {own.length}{" "}
      <button
        type="button"
        disabled={at === own.length - 1}
        aria-label="next"
        onClick={() => step(side, 1)}
      >
        ›
      </button>
    </span>
  );
}

function Shown({ first, second, keys, cells }: Props & Record<Side["name"], Pick>): JSX.Element {
  const sides = [sideOf("first", first, cells), sideOf("second", second, cells)] as const;
  const name = `${pickName(first)} ${pickName(second)}`;
  const ask = () => showBeside(first.run, first.episode, second.run, second.episode);
  const loaded = useLoaded(name, ask, true).value;
  const shown = loaded.value;
  const close: Key = { keys: "q", what: "close the two episodes", act: dropPicks };
  const own = () => [...keys, ...sideKeys(...sides), ...(shown ? alignedKeys(shown) : []), close];
  useKeys(screenKeys, own, [shown, name, cells]);
  return (
    <section class="beside" aria-label="two episodes side by side">
      <header class="bar">
        <h2>Two episodes side by side</h2>
        <span class="quiet">{shown && toldOf(shown.diverge, shown.reconverge)}</span>
        {sides.map((side) => (
          <Stepper side={side} />
        ))}
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
