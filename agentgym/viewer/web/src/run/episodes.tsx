// Episodes of a run: a filter, an order, and as many rows as there are.

import "./episodes.css";
import { visible } from "../model/ansi";
import { type Signal, useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { listEpisodes } from "../model/api";
import { cell, count, counted } from "../model/format";
import { FilterChips } from "./filters";
import { type Key, panelKeys, useKeys } from "../model/keys";
import { give, labelKeys, labelOf } from "../model/labels";
import { type Jump, Windowed } from "../parts/list";
import { Pages } from "../model/pages";
import { Quiet, Wrong } from "../parts/parts";
import { Hits, WordsField } from "./search";
import { go, look, query } from "../model/state";
import type { EpisodeLine } from "../model/types";

interface Field {
  name: string;
  key: string;
  /** Left out where the page is narrow. */
  wide?: boolean;
  number?: boolean;
  /** Nothing is sorted by it. */
  unsorted?: boolean;
  show: (line: EpisodeLine, run: string) => string;
}

const FIELDS: readonly Field[] = [
  { name: "episode", key: "id", show: (line) => line.id },
  { name: "step", key: "step", number: true, wide: true, show: (line) => count(line.step) },
  { name: "split", key: "split", wide: true, show: (line) => line.split },
  { name: "outcome", key: "outcome", number: true, show: outcome },
  { name: "reward", key: "reward", number: true, show: (line) => cell(line.reward) },
  { name: "turns", key: "turns", number: true, wide: true, show: (line) => count(line.turns) },
  { name: "tokens", key: "tokens", number: true, wide: true, show: (line) => count(line.tokens) },
  { name: "version", key: "version_max", number: true, wide: true, show: versions },
  { name: "end", key: "end", show: (line) => line.end },
  { name: "reason", key: "reason", wide: true, show: (line) => line.reason },
  { name: "label", key: "label", show: (line, run) => labelOf(run, line.id, line.label) ?? "" },
  { name: "tags", key: "tags", wide: true, unsorted: true, show: (line) => line.tags.join(" ") },
];

/** What was scored; a fault was not. */
function outcome(line: EpisodeLine): string {
  return line.end === "error" ? "–" : cell(line.outcome);
}

export function EpisodesPanel({ run, now }: { run: string; now: number }): JSX.Element {
  const where = query.value["where"] ?? "";
  const sort = query.value["sort"] ?? "";
  const seen = useSignal(now);
  if (seen.value === 0 || now < seen.value) seen.value = now; // it was emptied, or is another one
  const key = [run, where, sort, seen.value].join("\n");
  const pages = useMemo(
    () =>
      new Pages<EpisodeLine>((offset, limit) => listEpisodes(run, { where, sort, offset, limit })),
    [key],
  );
  void pages.came.value;
  const error = pages.error.value;
  const words = query.value["words"] ?? "";
  useKeys(panelKeys, () => (words ? FIELD_KEYS : null), [!words]);
  return (
    <div class="fill">
      <div class="bar">
        <Filter where={where} />
        <WordsField />
        <span class="quiet" role="status">
          {pages.total.value === null || words ? "" : counted(pages.total.value, "episode")}
        </span>
        {now > seen.value && (
          <button type="button" onClick={() => (seen.value = now)}>
            {counted(now - seen.value, "more episode")}
          </button>
        )}
      </div>
      <FilterChips run={run} where={where} />
      {error && <Wrong error={error} filter={where} />}
      {words && !error && <Hits run={run} words={words} />}
      {!words && <Rows {...{ run, where, sort, pages }} />}
    </div>
  );
}

interface RowsProps {
  run: string;
  where: string;
  sort: string;
  pages: Pages<EpisodeLine>;
}

function Rows({ run, where, sort, pages }: RowsProps): JSX.Element {
  const onSeen = useCallback((first: number, stop: number) => pages.want(first, stop), [pages]);
  const cursor = useSignal(-1);
  const jump = useSignal<Jump | null>(null);
  useEffect(() => void (cursor.value = -1), [pages]);
  useKeys(panelKeys, () => [...rowKeys({ run, pages, cursor, jump }), ...FIELD_KEYS], [pages]);
  void pages.came.value;
  const total = pages.total.value ?? 0;
  const here = cursor.value;
  return (
    <>
      {pages.total.value === 0 && !pages.error.value && (
        <Quiet>{where ? "No episode is like this." : "No episode is in the index yet."}</Quiet>
      )}
      <div class="episodes" role="table" aria-label="episodes" aria-rowcount={total + 1}>
        <div role="rowgroup">
          <div class="episode-row head" role="row">
            {FIELDS.map((field) => (
              <Head field={field} sort={sort} />
            ))}
          </div>
        </div>
        <Windowed
          count={total}
          guess={24}
          fixed
          of={`${run}\n${where}\n${sort}`}
          label="rows"
          roles="rows"
          onSeen={onSeen}
          jump={jump}
          render={(index) => <Row run={run} line={pages.at(index)} isHere={index === here} />}
        />
      </div>
    </>
  );
}

interface Cursor {
  run: string;
  pages: Pages<EpisodeLine>;
  /** The row that keys are for; -1: none yet. */
  cursor: Signal<number>;
  jump: Signal<Jump | null>;
}

function rowKeys({ run, pages, cursor, jump }: Cursor): Key[] {
  const move = (by: number) => {
    const last = (pages.total.value ?? 0) - 1;
    cursor.value = Math.max(0, Math.min(last, cursor.value + by));
    const row = document.querySelector(`.episodes [data-item="${cursor.value}"]`);
    if (row) row.scrollIntoView({ block: "nearest" });
    else jump.value = { index: cursor.value };
  };
  const here = () => pages.at(cursor.value)?.id;
  const put = (label: string) => {
    const episode = here();
    if (episode !== undefined) void give(run, episode, label);
  };
  const open = () => {
    const episode = here();
    if (episode !== undefined) go({ screen: "episode", run, episode });
  };
  return [
    { keys: "j k", what: "the row below, the row above", act: (key) => move(key === "j" ? 1 : -1) },
    { keys: "o", what: "open the episode of the row", act: open },
    ...labelKeys(put),
  ];
}

const FIELD_KEYS: readonly Key[] = [
  {
    keys: "w",
    what: "search what was said",
    act: () => document.querySelector<HTMLElement>("input[name=words]")?.focus(),
  },
];

function Filter({ where }: { where: string }): JSX.Element {
  const typed = useSignal<string | null>(null);
  const take = (event: Event) => {
    event.preventDefault();
    look({ where: typed.value ?? where }, true);
    typed.value = null;
  };
  return (
    <form class="filter" onSubmit={take}>
      <input
        type="search"
        aria-label="filter"
        spellcheck={false}
        value={typed.value ?? where}
        onInput={(event) => (typed.value = event.currentTarget.value)}
        onSearch={take}
        placeholder={'outcome>0 end=truncated text:"opened the door"'}
      />
    </form>
  );
}

function Head({ field, sort }: { field: Field; sort: string }): JSX.Element {
  const down = sort === `-${field.key}`;
  const up = sort === field.key;
  const next = down ? field.key : up ? "" : `-${field.key}`;
  return (
    <span
      class={classes(field)}
      role="columnheader"
      aria-sort={field.unsorted ? undefined : down ? "descending" : up ? "ascending" : "none"}
    >
      {field.unsorted ? (
        field.name
      ) : (
        <button type="button" onClick={() => look({ sort: next })}>
          {field.name}
          {down ? " ↓" : up ? " ↑" : ""}
        </button>
      )}
    </span>
  );
}

interface RowProps {
  run: string;
  line: EpisodeLine | undefined;
  isHere: boolean;
}

function Row({ run, line, isHere }: RowProps): JSX.Element {
  if (!line) return <div class="episode-row quiet">…</div>;
  const to = printAddress({ screen: "episode", run, episode: line.id });
  return (
    <div class={`episode-row ${line.end} ${isHere ? "here" : ""}`}>
      {FIELDS.map((field, at) => {
        const text = visible(field.show(line, run));
        return (
          <span class={classes(field)} role="cell" title={field.number ? undefined : text}>
            {at === 0 ? <a href={to}>{text}</a> : text}
            {at === 0 && line.tags.includes("drift") && (
              <span class="bad badge" title="tokens are stored otherwise than they were sampled">
                drift
              </span>
            )}
          </span>
        );
      })}
    </div>
  );
}

function classes(field: Field): string {
  return [
    `of-${field.key}`,
    field.key === "id" && "id",
    field.number && "num",
    field.wide && "wide",
  ]
    .filter(Boolean)
    .join(" ");
}

function versions(line: EpisodeLine): string {
  if (line.version_min === null) return "–";
  return line.version_min === line.version_max
    ? String(line.version_max)
    : `${line.version_min}–${line.version_max}`;
}
