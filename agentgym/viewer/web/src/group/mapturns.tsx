// The turns that are behind a state or an action of the map, side by side.

import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { visible } from "../model/ansi";
import { showEpisode } from "../model/api";
import type { Scale } from "../model/colours";
import { cell, counted } from "../model/format";
import { paidOf } from "../model/learnt";
import { rolloutNames } from "../model/rollouts";
import { useLoaded } from "../model/load";
import { Quiet, Shade, Text, Wrong } from "../parts/parts";
import { episodeRows } from "../model/rows";
import type { SaidEpisode, StatesShown } from "../model/types";

const MOST = 24; // turns that are opened at once
const LONGEST = 2000; // characters of one message

interface Props {
  run: string;
  shown: StatesShown;
  node: number | null;
  edge: number | null;
  scale: Scale;
  close: () => void;
}

export function Turns(props: Props): JSX.Element | null {
  const { run, shown, node, edge } = props;
  const turns = turnsOf(shown, node, edge);
  const names = rolloutNames(shown.members);
  const ids = [...new Set(turns.slice(0, MOST).map(([member]) => shown.members[member]!.id))];
  const loaded = useLoaded(JSON.stringify([run, ids]), () => episodes(run, ids)).value;
  if (!turns.length && node === null && edge === null) return null;
  return (
    <section class="turns" aria-label="turns of what is chosen">
      <Chosen {...props} count={turns.length} />
      {loaded.error && <Wrong error={loaded.error} />}
      {!loaded.error && !loaded.value && <Quiet>Loading.</Quiet>}
      {loaded.value && turns.length > 0 && (
        <ol class="turn-columns" tabIndex={0} aria-label="turns side by side">
          {turns.slice(0, MOST).map(([member, step, advantage]) => (
            <Turn
              {...{ run, step, advantage }}
              scale={props.scale}
              name={names[member]!}
              member={shown.members[member]!}
              episode={loaded.value!.get(shown.members[member]!.id)}
            />
          ))}
        </ol>
      )}
    </section>
  );
}

type Placed = readonly [member: number, step: number, advantage: number | null];

/** The turns of an action, or all that began in a state; winners lead. */
function turnsOf(shown: StatesShown, node: number | null, edge: number | null): Placed[] {
  const edges = shown.edges.filter((each, at) =>
    edge === null ? each.from === node : at === edge,
  );
  const turns = edges.flatMap((each) =>
    each.steps.map(([member, step]): Placed => {
      const id = shown.members[member]!.id;
      return [member, step, shown.credit?.steps[id]?.[step] ?? null];
    }),
  );
  return turns.sort((a, b) => (b[2] ?? 0) - (a[2] ?? 0) || a[0] - b[0] || a[1] - b[1]);
}

async function episodes(run: string, ids: readonly string[]): Promise<Map<string, SaidEpisode>> {
  const found = await Promise.all(ids.map((id) => showEpisode(run, id)));
  return new Map(found.map((each, at) => [ids[at]!, each]));
}

function Chosen({
  shown,
  node,
  edge,
  count: turns,
  close,
}: Props & { count: number }): JSX.Element {
  const action = edge === null ? null : shown.edges[edge];
  const state = node === null ? null : shown.nodes[node];
  const text = action ? action.action : (state?.text ?? "");
  return (
    <header>
      <h2>
        {action ? "Action" : state?.kind === "end" ? "End" : "State"}{" "}
        <span class="quiet">
          {counted(turns, "turn")}
          {turns > MOST && `, ${MOST} of them here`}
        </span>
      </h2>
      <button type="button" onClick={close} aria-label="close what is chosen">
        ×
      </button>
      <pre tabIndex={0} aria-label="what was observed or done">
        <Text text={text || "nothing was said"} />
      </pre>
    </header>
  );
}

interface TurnProps {
  run: string;
  /** Of the rollout. */
  name: string;
  member: StatesShown["members"][number];
  /** Undefined while it is asked for. */
  episode: SaidEpisode | undefined;
  step: number;
  advantage: number | null;
  scale: Scale;
}

function Turn({ run, name, member, episode, step, advantage, scale }: TurnProps): JSX.Element {
  const to = { screen: "episode", run, episode: member.id } as const;
  const turn = String(step);
  const said = episode?.steps[step];
  const rows = said ? episodeRows({ prompt: [], steps: [{ ...said, replies: [] }] }) : [];
  return (
    <li>
      <p class="turn-head">
        <a href={printAddress(to, { turn })} title={member.id}>
          rollout {visible(name)}, turn {step}
        </a>
        <Shade value={advantage} scale={scale} what="advantage" />
        <span
          class="quiet num"
          title={`${member.reward === null ? "outcome" : "reward"} of the rollout`}
        >
          {cell(paidOf(member))}
        </span>
        <a href={printAddress(to, { turn, view: "tokens" })}>tokens</a>
      </p>
      {rows.map((row) => (
        <pre class={row.kind}>
          {row.kind === "call" && <b>{visible(row.name)} </b>}
          <Text text={row.text.slice(0, LONGEST) || "nothing was said"} />
        </pre>
      ))}
    </li>
  );
}
