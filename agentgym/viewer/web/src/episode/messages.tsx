// The conversation of an episode, with a search of its own: the browser sees only a part of it.

import "./messages.css";
import { useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { useJump } from "../parts/jump";
import type { Credited } from "../model/credited";
import { cutMatches, find, firstFrom, type Match } from "../model/find";
import { counted, number } from "../model/format";
import { Windowed } from "../parts/list";
import { Quiet, Shade, Text } from "../parts/parts";
import { printAddress } from "../model/address";
import { asMarkdown, episodeRows, plains, roleClass, type Row, turnStarts } from "../model/rows";
import { atTurn, copy, lookAtTurn, pass, place, query } from "../model/state";
import type { SaidEpisode, Step } from "../model/types";

interface Props {
  episode: SaidEpisode;
  turn: number;
  credited: Credited;
}

export function Messages({ episode, turn, credited }: Props): JSX.Element {
  const rows = useMemo(() => episodeRows(episode), [episode]);
  const starts = useMemo(() => turnStarts(rows), [rows]);
  const jump = useJump(turn, (to) => starts[to] ?? 0);
  const wanted = query.value["find"] ?? "";
  const at = useSignal(0);
  const matches = useMemo(() => (wanted ? find(plains(rows), wanted) : []), [rows, wanted]);
  const current = matches[at.value] ?? null;
  const step = (by: number) => {
    if (matches.length === 0) return;
    at.value = (at.value + by + matches.length) % matches.length;
    jump.value = { index: matches[at.value]!.item };
  };
  const search = (text: string) => {
    pass({ find: text });
    const found = find(plains(rows), text);
    at.value = firstFrom(found, starts[turn] ?? 0);
    if (found.length) jump.value = { index: found[at.value]!.item };
  };
  useEffect(() => {
    if (matches.length > 0) at.value = firstFrom(matches, starts[turn] ?? 0);
  }, [episode]);
  return (
    <>
      <div class="bar">
        <input
          type="search"
          value={wanted}
          aria-label="find in the episode"
          placeholder="find"
          onInput={(event) => search(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && step(event.shiftKey ? -1 : 1)}
        />
        {wanted && (
          <span class="quiet num" role="status">
            {matches.length ? `${at.value + 1} of ` : ""}
            {counted(matches.length, "match").replace("matchs", "matches")}
          </span>
        )}
        {matches.length > 1 && (
          <button type="button" onClick={() => step(-1)} aria-label="the match before">
            ↑
          </button>
        )}
        {matches.length > 1 && (
          <button type="button" onClick={() => step(1)} aria-label="the next match">
            ↓
          </button>
        )}
        <button
          type="button"
          onClick={() => void copy(asMarkdown(rows), "episode copied as Markdown")}
        >
          copy
        </button>
      </div>
      {episode.steps.length === 0 && <Quiet>No turn was taken.</Quiet>}
      <Windowed
        count={rows.length}
        guess={60}
        of={episode.id}
        label="messages"
        jump={jump}
        render={(index) => (
          <MessageRow
            row={rows[index]!}
            isHere={rows[index]!.turn === turn}
            matches={cutMatches(matches, index)}
            current={current}
            credited={credited}
          />
        )}
      />
    </>
  );
}

interface RowProps {
  row: Row;
  isHere: boolean;
  matches: readonly Match[];
  current: Match | null;
  credited: Credited;
}

function MessageRow({ row, isHere, matches, current, credited }: RowProps): JSX.Element {
  return (
    <div
      class={`message ${roleClass(row.role)} ${row.kind} ${row.head ? "head" : ""} ${isHere ? "here" : ""}`}
    >
      <div class="gutter">
        {row.begins && (
          <a
            class="turn num"
            href={printAddress(place.value, { ...query.value, ...atTurn(row.begins.index) })}
            onClick={(event) => follow(event, row.begins!.index)}
          >
            {row.begins.index}
          </a>
        )}
        {row.head && <span class="role">{row.role}</span>}
        {row.begins && <StepFacts step={row.begins} credited={credited} />}
      </div>
      <div class="said">
        {row.kind === "call" && (
          <span class="call-name">
            <Text text={row.name} />
          </span>
        )}
        {row.kind === "nothing" ? (
          <span class="quiet">nothing was said</span>
        ) : (
          <pre>
            <Text text={row.text} matches={matches} current={current} />
          </pre>
        )}
      </div>
    </div>
  );
}

/** A plain click is a step, not a page to come back to; any other one is the browser's. */
function follow(event: MouseEvent, turn: number): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  lookAtTurn(turn);
}

function StepFacts({ step, credited }: { step: Step; credited: Credited }): JSX.Element {
  const advantage = credited.at(step.index);
  const earned = Object.values(step.reward_terms).reduce((sum, each) => sum + each, 0);
  return (
    <>
      {(step.reward ?? earned) !== 0 && (
        <span class="num" title="reward of the step">
          r {number(step.reward ?? earned)}
        </span>
      )}
      {advantage !== null && (
        <span class="num">
          A <Shade value={advantage} scale={credited.scale} what={`${credited.label} gives`} />
        </span>
      )}
      {step.timed_out && <span class="bad">timed out</span>}
      {step.finish && step.finish !== "stop" && <span class="bad">{step.finish}</span>}
    </>
  );
}
