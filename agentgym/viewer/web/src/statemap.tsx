// The states that a group came through, and what was done in them.

import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "./address";
import { visible } from "./ansi";
import { showStates } from "./api";
import { colourOf, type Scale, symmetric } from "./colours";
import { cell, counted, number, signed } from "./format";
import { useLoaded } from "./load";
import { Legend, Quiet, Wrong } from "./parts";
import { query } from "./state";
import type { Edge, Node, StatesShown } from "./types";

const ACROSS = 160;
const DOWN = 96;
const MARGIN = 56;

export function StateMap({ run, group }: { run: string; group: string }): JSX.Element {
  const { credit, minus, shaping } = query.value;
  const key = JSON.stringify([run, group, credit, minus, shaping]);
  const ask = () => showStates(run, group, { credit, minus, shaping });
  const loaded = useLoaded(key, ask, true).value;
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return <Drawn run={run} shown={loaded.value} />;
}

function Drawn({ run, shown }: { run: string; shown: StatesShown }): JSX.Element {
  const chosen = useSignal<Edge | null>(null);
  const scale = useMemo(() => symmetric(shown.edges.map((edge) => edge.advantage)), [shown]);
  const place = useMemo(() => places(shown.nodes), [shown]);
  const byId = new Map(shown.nodes.map((node) => [node.id, node]));
  return (
    <>
      <div class="bar">
        <Legend scale={scale} what="mean advantage of the action" />
        <span class="quiet">
          {counted(shown.nodes.length, "state")}, {counted(shown.edges.length, "action")}
        </span>
      </div>
      <div class="map" tabIndex={0} aria-label="map of the states">
        <svg width={place.width} height={place.height} role="group" aria-label="states and actions">
          {shown.edges.map((edge) => (
            <EdgeLine
              {...{ edge, scale }}
              from={place.of(byId.get(edge.from)!)}
              to={place.of(byId.get(edge.to)!)}
              isChosen={chosen.value === edge}
              choose={() => (chosen.value = edge)}
            />
          ))}
          {shown.nodes.map((node) => (
            <NodeMark node={node} at={place.of(node)} />
          ))}
        </svg>
      </div>
      {chosen.value && <Chosen run={run} shown={shown} edge={chosen.value} />}
    </>
  );
}

type Point = readonly [number, number];

interface Places {
  width: number;
  height: number;
  of: (node: Node) => Point;
}

/** Where nodes are drawn: their own places, moved so that all are on the paper. */
function places(nodes: readonly Node[]): Places {
  const top = nodes.reduce((least, node) => Math.min(least, node.y), 0);
  const bottom = nodes.reduce((most, node) => Math.max(most, node.y), 0);
  const right = nodes.reduce((most, node) => Math.max(most, node.x), 0);
  return {
    width: right * ACROSS + 2 * MARGIN + 100,
    height: (bottom - top) * DOWN + 2 * MARGIN,
    of: (node) => [MARGIN + node.x * ACROSS, MARGIN + (node.y - top) * DOWN],
  };
}

interface EdgeProps {
  edge: Edge;
  scale: Scale;
  from: Point;
  to: Point;
  isChosen: boolean;
  choose: () => void;
}

function EdgeLine({ edge, scale, from, to, isChosen, choose }: EdgeProps): JSX.Element {
  const label = `${visible(edge.action)}: ${edge.count} times, advantage ${signed(edge.advantage)}`;
  const onKey = (event: KeyboardEvent) => event.key === "Enter" && choose();
  return (
    <g
      class="edge-group"
      tabIndex={0}
      role="button"
      aria-label={label}
      onClick={choose}
      onKeyDown={onKey}
    >
      <title>{label}</title>
      <path
        class={`edge ${colourOf(scale, edge.advantage)} ${isChosen ? "chosen" : ""}`}
        d={curve(from, to)}
        stroke-width={1 + 1.6 * Math.sqrt(edge.count)}
      />
    </g>
  );
}

/** A line from left to right; one that leads back, or to where it began, is bent around. */
function curve([x1, y1]: Point, [x2, y2]: Point): string {
  if (x2 > x1) return `M${x1} ${y1} C${x1 + 80} ${y1} ${x2 - 80} ${y2} ${x2} ${y2}`;
  const above = Math.min(y1, y2) - 34;
  return `M${x1} ${y1} C${x1 + 50} ${above} ${x2 - 50} ${above} ${x2} ${y2}`;
}

function NodeMark({ node, at: [x, y] }: { node: Node; at: Point }): JSX.Element {
  const text = visible(node.text || node.key);
  return (
    <g class={`node ${node.kind}`}>
      <title>{`${text}\n${counted(node.visits, "visit")}, mean return ${number(node.value)}`}</title>
      <circle cx={x} cy={y} r={4 + 2 * Math.sqrt(node.visits)} />
      <text x={x} y={y + 4} text-anchor="middle">
        {node.visits}
      </text>
      <text class="value" x={x} y={y + 20 + 2 * Math.sqrt(node.visits)} text-anchor="middle">
        {node.kind === "end" ? node.key : cell(node.value)}
      </text>
    </g>
  );
}

function Chosen({
  run,
  shown,
  edge,
}: {
  run: string;
  shown: StatesShown;
  edge: Edge;
}): JSX.Element {
  return (
    <section class="chosen-edge" aria-live="polite">
      <pre>{visible(edge.action)}</pre>
      <p>
        advantage {signed(edge.advantage)} ·{" "}
        {edge.steps.map(([member, step]) => (
          <a
            href={printAddress(
              { screen: "episode", run, episode: shown.members[member]!.id },
              { turn: String(step) },
            )}
          >
            {shown.members[member]!.member ?? member}, turn {step}
          </a>
        ))}
      </p>
    </section>
  );
}
