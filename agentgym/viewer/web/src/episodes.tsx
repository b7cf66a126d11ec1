// Episodes of a run: a filter, an order, and as many rows as there are.

import { useSignal } from "@preact/signals";
import { useCallback, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "./address";
import { listEpisodes } from "./api";
import { cell, count, counted } from "./format";
import { Windowed } from "./list";
import { Pages } from "./pages";
import { Quiet, Wrong } from "./parts";
import { look, query } from "./state";
import type { EpisodeLine } from "./types";

interface Field {
  name: string;
  key: string;
  /** Left out where the page is narrow. */
  wide?: boolean;
  number?: boolean;
  show: (line: EpisodeLine) => string;
}

const FIELDS: readonly Field[] = [
  { name: "episode", key: "id", show: (line) => line.id },
  { name: "step", key: "step", number: true, show: (line) => count(line.step) },
  { name: "split", key: "split", wide: true, show: (line) => line.split },
  { name: "outcome", key: "outcome", number: true, show: (line) => cell(line.outcome) },
  { name: "reward", key: "reward", number: true, show: (line) => cell(line.reward) },
  { name: "turns", key: "turns", number: true, wide: true, show: (line) => count(line.turns) },
  { name: "tokens", key: "tokens", number: true, wide: true, show: (line) => count(line.tokens) },
  { name: "version", key: "version_max", number: true, wide: true, show: versions },
  { name: "end", key: "end", show: (line) => line.end },
  { name: "reason", key: "reason", wide: true, show: (line) => line.reason },
  {
    name: "label",
    key: "label",
    wide: true,
    show: (line) => [line.label, ...line.tags].filter(Boolean).join(" "),
  },
];

export function EpisodesPanel({ run, now }: { run: string; now: number }): JSX.Element {
  const where = query.value["where"] ?? "";
  const sort = query.value["sort"] ?? "";
  const seen = useSignal(now);
  const key = [run, where, sort, seen.value].join("\n");
  const pages = useMemo(
    () =>
      new Pages<EpisodeLine>((offset, limit) => listEpisodes(run, { where, sort, offset, limit })),
    [key],
  );
  const onSeen = useCallback((first: number, stop: number) => pages.want(first, stop), [pages]);
  void pages.came.value;
  const error = pages.error.value;
  return (
    <div class="fill">
      <div class="bar">
        <Filter where={where} />
        <span class="quiet" role="status">
          {pages.total.value === null ? "" : counted(pages.total.value, "episode")}
        </span>
        {now > seen.value && (
          <button type="button" onClick={() => (seen.value = now)}>
            {counted(now - seen.value, "more episode")}
          </button>
        )}
      </div>
      {error && <Wrong error={error} filter={where} />}
      {!error && pages.total.value === 0 && (
        <Quiet>{where ? "No episode is like this." : "No episode is in the index yet."}</Quiet>
      )}
      <div
        class="episodes"
        role="table"
        aria-label="episodes"
        aria-rowcount={(pages.total.value ?? 0) + 1}
      >
        <div role="rowgroup">
          <div class="episode-row head" role="row">
            {FIELDS.map((field) => (
              <Head field={field} sort={sort} />
            ))}
          </div>
        </div>
        <Windowed
          count={pages.total.value ?? 0}
          guess={24}
          fixed
          of={`${run}\n${where}\n${sort}`}
          label="rows"
          roles="rows"
          onSeen={onSeen}
          render={(index) => <Row run={run} line={pages.at(index)} />}
        />
      </div>
    </div>
  );
}

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
      aria-sort={down ? "descending" : up ? "ascending" : "none"}
    >
      <button type="button" onClick={() => look({ sort: next })}>
        {field.name}
        {down ? " ↓" : up ? " ↑" : ""}
      </button>
    </span>
  );
}

function Row({ run, line }: { run: string; line: EpisodeLine | undefined }): JSX.Element {
  if (!line) return <div class="episode-row quiet">…</div>;
  const to = printAddress({ screen: "episode", run, episode: line.id });
  return (
    <div class={`episode-row ${line.end}`}>
      {FIELDS.map((field, at) => {
        const text = field.show(line);
        return (
          <span class={classes(field)} role="cell" title={field.number ? undefined : text}>
            {at === 0 ? <a href={to}>{text}</a> : text}
          </span>
        );
      })}
    </div>
  );
}

function classes(field: Field): string {
  return [field.key, field.number && "num", field.wide && "wide"].filter(Boolean).join(" ");
}

function versions(line: EpisodeLine): string {
  if (line.version_min === null) return "–";
  return line.version_min === line.version_max
    ? String(line.version_max)
    : `${line.version_min}–${line.version_max}`;
}
