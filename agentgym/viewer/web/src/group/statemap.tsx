// The states that a group came through, and what was done in them.

import "./statemap.css";
import { useSignal } from "@preact/signals";
import { useMemo } from "preact/hooks";
import type { JSX, SVGAttributes } from "preact";
import { visible } from "../model/ansi";
import { showStates } from "../model/api";
import { colourOf, type Scale, symmetric } from "../model/colours";
import { nextOf } from "../model/folds";
import { cell, counted, number, share, signed } from "../model/format";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { useLoaded } from "../model/load";
import { Turns } from "./mapturns";
import { Legend, Quiet, Wrong } from "../parts/parts";
import { shareKeys } from "../parts/share";
import { look, query, told, whole } from "../model/state";
import { drawWays, type Point } from "../model/ways";
import type { Edge, Node, StatesShown } from "../model/types";

const ACROSS = 124;
const DOWN = 92;
const MARGIN = 48;
const PARTED = 0.5; // from here on winners mostly do other things than the rest

interface Props {
  run: string;
  group: string;
  /** Keys of the screen around it. */
  keys: readonly Key[];
}

export function StateMap({ run, group, keys }: Props): JSX.Element {
  const { credit, minus, shaping } = query.value;
  const key = JSON.stringify([run, group, credit, minus, shaping]);
  const ask = () => showStates(run, group, { credit, minus, shaping });
  const loaded = useLoaded(key, ask, true).value;
  const shown = loaded.value;
  const own = () => [...keys, ...(shown ? mapKeys(shown) : []), ...shareKeys()];
  useKeys(screenKeys, own, [shown]);
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!shown) return <Quiet>Loading.</Quiet>;
  return <Drawn run={run} shown={shown} />;
}

const isParting = (node: Node) => (node.parts ?? 0) >= PARTED;
const choose = (what: { node?: number; edge?: number }) =>
  look({ node: what.node?.toString(), edge: what.edge?.toString() });

function mapKeys(shown: StatesShown): Key[] {
  const partings = shown.nodes.filter(isParting).map((node) => node.id);
  const move = (by: number) => {
    const to = nextOf(partings, whole("node") ?? (by > 0 ? -1 : shown.nodes.length), by);
    if (to === undefined) told.value = "winners and the rest part nowhere";
    else choose({ node: to });
    document.getElementById(`node-${to}`)?.focus();
  };
  return [
    {
      keys: "n N",
      what: "where winners and the rest part: next, before",
      act: (key) => move(key === "n" ? 1 : -1),
    },
    { keys: "q", what: "close what is chosen on the map", act: () => choose({}) },
  ];
}

function Drawn({ run, shown }: { run: string; shown: StatesShown }): JSX.Element {
  const scale = useMemo(() => symmetric(shown.edges.map((edge) => edge.advantage)), [shown]);
  const place = useMemo(() => places(shown.nodes), [shown]);
  const ways = useMemo(
    () =>
      drawWays(
        shown.edges,
        shown.nodes.map((each) => ({ at: place.of(each), radius: radiusOf(each) })),
      ),
    [shown],
  );
  const at = useSignal("");
  const [node, edge] = [whole("node"), whole("edge")];
  return (
    <>
      <Explained shown={shown} scale={scale} />
      <div class="map" tabIndex={0} role="region" aria-label="map of the states">
        <svg
          width={place.width}
          height={Math.max(place.height, ways.bottom + MARGIN / 2)}
          role="group"
          aria-label="states and actions"
        >
          {shown.edges.map((each, index) => (
            <EdgeLine
              {...{ scale, at }}
              edge={each}
              way={ways.paths[index]!}
              isChosen={edge === index}
              choose={() => choose({ edge: index })}
            />
          ))}
          {shown.nodes.map((each) => (
            <NodeMark
              node={each}
              at={place.of(each)}
              looked={at}
              isChosen={node === each.id}
              choose={() => choose({ node: each.id })}
            />
          ))}
          {shown.nodes.map((each) => (
            <NodeText node={each} at={place.of(each)} />
          ))}
        </svg>
      </div>
      <p class="map-at quiet" aria-hidden="true">
        {at.value || "A state or an action shows its numbers here; chosen, its turns."}
      </p>
      <Turns
        run={run}
        shown={shown}
        node={node}
        edge={edge}
        scale={scale}
        close={() => choose({})}
      />
    </>
  );
}

function Explained({ shown, scale }: { shown: StatesShown; scale: Scale }): JSX.Element {
  const hasStates = shown.nodes.some((node) => node.kind === "state");
  const partings = shown.nodes.filter(isParting).length;
  const widths = [1, 4, 16];
  return (
    <div class="bar map-legend">
      <span class="legend">mean advantage of the action</span>
      {shown.credit ? (
        <Legend scale={scale} what="mean advantage of the action" />
      ) : (
        <span class="legend">is not known</span>
      )}
      <span class="legend">
        times
        {widths.map((each) => (
          <span class="sample">
            <svg width="22" height="12" aria-hidden="true">
              <line class="edge" x1="0" x2="22" y1="6" y2="6" stroke-width={widthOf(each)} />
            </svg>
            {each}
          </span>
        ))}
      </span>
      <span class="legend">
        <svg width="20" height="20" aria-hidden="true" class="node parting">
          <circle cx="10" cy="10" r="5" />
          <circle class="ring" cx="10" cy="10" r="8" />
        </svg>
        {partings ? "winners and the rest part here" : "winners and the rest part nowhere"}
      </span>
      <span class="quiet">
        {hasStates
          ? `${counted(shown.nodes.length, "state")}; in it visits, under it the mean return`
          : shown.edges.length
            ? "the environment gave no state keys: this is the tree of what was done"
            : "no turn was taken"}
      </span>
    </div>
  );
}

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
    width: right * ACROSS + 2 * MARGIN + 40,
    height: (bottom - top) * DOWN + 2 * MARGIN,
    of: (node) => [MARGIN + node.x * ACROSS, MARGIN + (node.y - top) * DOWN],
  };
}

const widthOf = (count: number) => 1 + 1.6 * Math.sqrt(count);

/** Chooses by Enter or the space bar, as buttons are. */
function onKey(act: () => void): (event: KeyboardEvent) => void {
  return (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    event.stopPropagation();
    act();
  };
}

interface EdgeProps {
  edge: Edge;
  scale: Scale;
  /** Its path. */
  way: string;
  at: { value: string };
  isChosen: boolean;
  choose: () => void;
}

/** What makes a drawn thing a button; its label is shown where it is looked at. */
function pressable(
  label: string,
  isChosen: boolean,
  choose: () => void,
  looked: { value: string },
): SVGAttributes<SVGGElement> {
  const look = () => (looked.value = label);
  return {
    tabIndex: 0,
    role: "button",
    "aria-pressed": isChosen,
    "aria-label": label,
    onClick: choose,
    onKeyDown: onKey(choose),
    onFocus: look,
    onPointerEnter: look,
  };
}

function EdgeLine({ edge, scale, way, at, isChosen, choose }: EdgeProps): JSX.Element {
  const action = visible(edge.action).slice(0, 200) || "nothing was said";
  const label = `${action}: ${counted(edge.count, "time")}, mean advantage ${signed(edge.advantage)}`;
  return (
    <g class="edge-group" {...pressable(label, isChosen, choose, at)}>
      <title>{label}</title>
      <path class="reach" d={way} />
      <path
        class={`edge ${colourOf(scale, edge.advantage)} ${isChosen ? "chosen" : ""}`}
        d={way}
        stroke-width={widthOf(edge.count)}
      />
    </g>
  );
}

interface NodeProps {
  node: Node;
  at: Point;
  looked: { value: string };
  isChosen: boolean;
  choose: () => void;
}

function NodeMark({ node, at: [x, y], looked, isChosen, choose }: NodeProps): JSX.Element {
  const label = labelOf(node);
  const radius = radiusOf(node);
  return (
    <g
      id={`node-${node.id}`}
      class={`node ${node.kind} ${isParting(node) ? "parting" : ""} ${isChosen ? "chosen" : ""}`}
      {...pressable(label, isChosen, choose, looked)}
    >
      <title>{`${label}\n${visible(node.text || node.key)}`}</title>
      <circle cx={x} cy={y} r={radius} />
      {isParting(node) && <circle class="ring" cx={x} cy={y} r={radius + 3} />}
    </g>
  );
}

const radiusOf = (node: Node) => 5 + 2 * Math.sqrt(node.visits);

/** The numbers of a node: beside the button that it is, which tells them itself. */
function NodeText({ node, at: [x, y] }: { node: Node; at: Point }): JSX.Element {
  return (
    <g class="node-text" aria-hidden="true">
      <text x={x} y={y + 4} text-anchor="middle">
        {node.visits}
      </text>
      <text class="value" x={x} y={y + 18 + radiusOf(node)} text-anchor="middle">
        {node.kind === "end" ? node.key.replace(/,? ?outcome /, " ") : cell(node.value)}
      </text>
    </g>
  );
}

function labelOf(node: Node): string {
  const what = node.kind === "end" ? `end, ${node.key}` : node.kind;
  const facts = `${counted(node.visits, "visit")}, mean return ${number(node.value)}`;
  const parts = node.parts === null ? "" : `, winners act otherwise ${share(node.parts)}`;
  return `${visible(what)} ${node.id}: ${facts}${parts}`;
}
