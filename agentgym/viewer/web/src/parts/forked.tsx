// Where forks lead: from an episode to those that go on from it, and back.

import "./forked.css";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { visible } from "../model/ansi";
import { forksOf } from "../model/api";
import { colourOf, symmetric } from "../model/colours";
import { number } from "../model/format";
import { useLoaded } from "../model/load";
import { file } from "../model/shared";
import { grown } from "../model/state";
import type { EpisodeLine } from "../model/types";
import { Fact } from "./parts";

type Line = Pick<EpisodeLine, "id" | "outcome" | "end">;

/** Links to episodes, by their outcomes. */
export function Children({
  run,
  lines,
}: {
  run: string;
  lines: readonly Line[];
}): JSX.Element | null {
  if (lines.length === 0) return null;
  const scale = symmetric(lines.map((each) => each.outcome));
  return (
    <span class="siblings" role="group" aria-label="episodes of the fork">
      {lines.slice(0, 64).map((each) => (
        <a
          href={printAddress({ screen: "episode", run, episode: each.id })}
          class={colourOf(scale, each.outcome)}
          title={`${each.id}: ${each.end}, outcome ${number(each.outcome)}`}
        >
          {each.end === "error" ? "fault" : number(each.outcome)}
        </a>
      ))}
    </span>
  );
}

/** The forks of an episode that are recorded, for its facts: by turn, each with its outcome. */
export function ForksOf({ run, id }: { run: string; id: string }): JSX.Element | null {
  const many = grown.value[run]?.episodes;
  const ask = () => (file ? Promise.resolve([]) : forksOf(run, id));
  const found = useLoaded(`${run}\n${id}\n${many}`, ask, true).value.value;
  if (!found?.length) return null;
  const turns = [...new Set(found.map((each) => each.fork_step ?? 0))];
  return (
    <Fact name="forks" style="forks">
      {turns.map((turn) => (
        <span>
          turn {turn}
          <Children run={run} lines={found.filter((each) => (each.fork_step ?? 0) === turn)} />
        </span>
      ))}
    </Fact>
  );
}

/** The place that episodes go on from, for their facts. */
export function ForkedFrom({
  run,
  parent,
  turn,
}: {
  run: string;
  parent: string;
  turn: number | null;
}): JSX.Element {
  const at = String(turn ?? 0);
  return (
    <Fact name="forked from">
      <a href={printAddress({ screen: "episode", run, episode: parent }, { turn: at })}>
        {visible(parent)}
      </a>{" "}
      turn {at}
    </Fact>
  );
}
