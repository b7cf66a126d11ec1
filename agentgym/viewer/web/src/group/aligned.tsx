// Rollouts as columns: equal decisions stand in one row.

import "./aligned.css";
import { useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { visible } from "../model/ansi";
import { colourOf, type Scale, symmetric } from "../model/colours";
import { beginOf, FOLDS, foldOf, folds, type Line, lineOf, marks, nextOf } from "../model/folds";
import { cell, number } from "../model/format";
import type { Key } from "../model/keys";
import { paidOf } from "../model/learnt";
import { labelOf } from "../model/labels";
import { rolloutNames } from "../model/rollouts";
import { type Jump, Windowed } from "../parts/list";
import { Choice, Legend, Shade } from "../parts/parts";
import { look, query, told, whole } from "../model/state";
import type { AlignedShown, Num } from "../model/types";

const COLUMN = 144;
const FIRST = 52;

interface Props {
  shown: AlignedShown;
  /** The run of members that do not name one themselves. */
  run: string;
  /** By episode, of each step; null: nobody asked. */
  advantages: Record<string, Num[]> | null;
}

export function Aligned({ shown, run, advantages }: Props): JSX.Element {
  const fold = foldOf(query.value["rows"], shown.members.length);
  const lines = useMemo(() => folds(shown.rows, fold, beganIn(shown)), [shown, fold]);
  const names = useMemo(() => rolloutNames(shown.members), [shown]);
  const scale = useMemo(() => symmetric(Object.values(advantages ?? {}).flat()), [advantages]);
  const rewards = useMemo(() => symmetric(shown.members.map(paidOf)), [shown]);
  const here = whole("row");
  const jump = useSignal<Jump | null>(null);
  useEffect(() => {
    if (here !== null) jump.value = { index: lineOf(lines, here) };
  }, [here, lines]);
  const columns = {
    gridTemplateColumns: `${FIRST}px repeat(${shown.members.length}, minmax(${COLUMN}px, 1fr))`,
    minWidth: `${shown.members.length * COLUMN + FIRST}px`,
  };
  const render = useCallback(
    (index: number) => (
      <div
        class={`aligned-row ${lines[index]!.row === beganIn(shown) ? "began" : ""}`}
        style={columns}
      >
        <Row {...{ shown, run, advantages, scale, here }} line={lines[index]!} />
      </div>
    ),
    [shown, run, advantages, lines, here],
  );
  return (
    <>
      <div class="bar">
        {shown.members.length > 1 && (
          <Choice
            label="rows"
            options={FOLDS}
            value={fold}
            choose={(next) => look({ rows: next === FOLDS[0] ? undefined : next })}
          />
        )}
        {advantages && <Legend scale={scale} what="advantage" />}
      </div>
      <div class="aligned" role="table" aria-label="rollouts side by side">
        <Windowed
          count={lines.length}
          guess={48}
          of={`${shown.members.map((each) => each.id).join("\n")} ${fold}`}
          label="rows"
          roles="rows"
          jump={jump}
          render={render}
          head={
            <div
              key="head"
              class={`aligned-row head ${shown.members.some((each) => each.run) ? "of-runs" : ""}`}
              role="row"
              style={columns}
            >
              <span role="columnheader">row</span>
              {shown.members.map((each, at) => (
                <Head
                  run={each.run ?? run}
                  member={each}
                  name={each.run ? each.id : names[at]!}
                  scale={rewards}
                />
              ))}
            </div>
          }
        />
      </div>
    </>
  );
}

/** Keys that lead from mark to mark, and choose which rows are shown. */
export function alignedKeys(shown: AlignedShown): Key[] {
  const found = marks(shown.rows, shown.diverge, beganIn(shown));
  const move = (by: number) => {
    const to = nextOf(found, whole("row") ?? (by > 0 ? -1 : shown.rows.length), by);
    if (to === undefined) told.value = "these rollouts never part";
    else {
      told.value = `row ${to}: ${markOf(shown, to)?.words} (${found.indexOf(to) + 1} of ${found.length})`;
      look({ row: String(to) });
    }
  };
  const fold = () => foldOf(query.value["rows"], shown.members.length);
  const next = () => FOLDS[(FOLDS.indexOf(fold()) + 1) % FOLDS.length]!;
  return [
    {
      keys: "n N",
      what: "where rollouts part or meet again: next, before",
      act: (key) => move(key === "n" ? 1 : -1),
    },
    {
      keys: "f",
      what: "fold the beginning, show only what differs, show all rows",
      act: () => look({ rows: next() === FOLDS[0] ? undefined : next() }),
    },
  ];
}

interface Mark {
  glyph: string;
  words: string;
}

function markOf(shown: AlignedShown, row: number): Mark | null {
  const begins = row === beganIn(shown) ? "the fork begins here" : "";
  if (row === shown.diverge)
    return { glyph: " ≠", words: begins ? `${begins}, and they part` : "they part" };
  if (begins) return { glyph: " ↳", words: begins };
  return shown.rows[row]!.rejoins ? { glyph: " =", words: "some meet again" } : null;
}

/** The row in which a fork begins; -1: these are no forks. */
function beganIn(shown: AlignedShown): number {
  return beginOf(shown.rows, shown.forked?.turn);
}

type Member = AlignedShown["members"][number];

interface HeadProps {
  run: string;
  member: Member;
  name: string;
  scale: Scale;
}

function Head({ run, member, name, scale }: HeadProps): JSX.Element {
  const reward = paidOf(member);
  return (
    <span role="columnheader">
      <a href={printAddress({ screen: "episode", run, episode: member.id })} title={member.id}>
        {visible(name)}
      </a>{" "}
      <span
        class={`num reward ${colourOf(scale, reward)}`}
        title={
          reward === null
            ? "no reward"
            : `${member.reward === null ? "outcome" : "reward"} ${number(reward, 6)}`
        }
      >
        {cell(reward)}
      </span>{" "}
      <span class={member.end === "error" ? "bad" : "quiet"}>{member.end}</span>{" "}
      {labelOf(run, member.id, member.label ?? null) ?? ""}
    </span>
  );
}

interface RowProps extends Props {
  scale: Scale;
  line: Line;
  here: number | null;
}

function Row({ shown, run, advantages, scale, line, here }: RowProps): JSX.Element {
  if (line.hidden > 0) {
    return (
      <span role="cell" class="unfold">
        <button type="button" onClick={() => look({ rows: FOLDS[2] })}>
          {line.hidden === 1 ? "1 step" : `${line.hidden} steps`} in which all did the same
        </button>
      </span>
    );
  }
  const row = shown.rows[line.row]!;
  const mark = markOf(shown, line.row);
  return (
    <>
      <span
        role="rowheader"
        class={`num ${mark ? "parted" : "quiet"} ${line.row === here ? "here" : ""}`}
        title={mark?.words}
      >
        {line.row}
        {mark && <span aria-label={mark.words}>{mark.glyph}</span>}
      </span>
      {row.cells.map((step, at) => (
        <Cell {...{ run, step, advantages, scale, same: row.same }} member={shown.members[at]!} />
      ))}
    </>
  );
}

interface CellProps {
  run: string;
  step: number | null;
  advantages: Props["advantages"];
  scale: Scale;
  same: string;
  member: Member;
}

function Cell({ run, step, advantages, scale, same, member }: CellProps): JSX.Element {
  if (step === null) return <span role="cell" class="gap" aria-label="no step" />;
  const to = printAddress(
    { screen: "episode", run: member.run ?? run, episode: member.id },
    { turn: String(step) },
  );
  const action = visible(member.actions[step] ?? "");
  return (
    <span role="cell" class={`did ${same}`}>
      <span class="did-head">
        <a class="num" href={to} title={`turn ${step}`}>
          {step}
        </a>
        {advantages && (
          <Shade value={advantages[member.id]?.[step] ?? null} scale={scale} what="advantage" />
        )}
      </span>
      <code title={action}>{action || "nothing was said"}</code>
    </span>
  );
}
