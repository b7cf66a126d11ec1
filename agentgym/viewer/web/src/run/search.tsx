// What was said in the episodes of a run; each hit leads to its turn, with the words marked there.

import "./search.css";
import { useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { visible } from "../model/ansi";
import { searchRun } from "../model/api";
import { cell, count, counted } from "../model/format";
import { labelOf } from "../model/labels";
import { Windowed } from "../parts/list";
import { Pages } from "../model/pages";
import { Quiet, Wrong } from "../parts/parts";
import { look, query } from "../model/state";
import type { Found, Hit } from "../model/types";

const PAGE = 20;
const SOON = 700; // milliseconds until what was not searched is asked for again

export function WordsField(): JSX.Element {
  const typed = useSignal<string | null>(null);
  const take = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    look({ words: String(new FormData(event.currentTarget).get("words") ?? "") }, true);
    typed.value = null;
  };
  return (
    <form class="words-field" onSubmit={take}>
      <input
        type="search"
        name="words"
        aria-label="search what was said"
        placeholder="search what was said (w)"
        maxLength={200}
        value={typed.value ?? query.value["words"] ?? ""}
        onInput={(event) => (typed.value = event.currentTarget.value)}
        onSearch={(event) => event.currentTarget.form?.requestSubmit()}
      />
    </form>
  );
}

export function Hits({ run, words }: { run: string; words: string }): JSX.Element {
  const where = query.value["where"] ?? "";
  const again = useSignal(0);
  const pages = useMemo(
    () =>
      new Pages<Found>(
        (offset, limit) =>
          searchRun(run, { words, where, offset, limit }, (left) => (behind.value = left)),
        PAGE,
      ),
    [run, words, where, again.value],
  );
  const behind = useSignal(0);
  const onSeen = useCallback((first: number, stop: number) => pages.want(first, stop), [pages]);
  void pages.came.value;
  const total = pages.total.value;
  const isEarly = total === 0 && behind.value > 0;
  useEffect(() => {
    if (!isEarly) return;
    const timer = setTimeout(() => again.value++, SOON);
    return () => clearTimeout(timer);
  }, [isEarly, pages]);
  return (
    <div class="fill">
      <p class="quiet pad" role="status">
        {total === null ? "Searching." : `${counted(total, "episode")} with these words`}
        {behind.value > 0 && (
          <>
            , {count(behind.value)} not searched yet{" "}
            <button type="button" onClick={() => again.value++}>
              again
            </button>
          </>
        )}
      </p>
      {pages.error.value && <Wrong error={pages.error.value} filter={where} />}
      {total === 0 && behind.value === 0 && <Quiet>Nobody said this.</Quiet>}
      <Windowed
        count={total ?? 0}
        guess={80}
        of={`${run}\n${words}\n${where}\n${again.value}`}
        label="episodes with these words"
        onSeen={onSeen}
        render={(index) => <FoundRow run={run} found={pages.at(index)} />}
      />
    </div>
  );
}

function FoundRow({ run, found }: { run: string; found: Found | undefined }): JSX.Element {
  if (!found) return <div class="found quiet">…</div>;
  const to = (hit?: Hit) =>
    printAddress(
      { screen: "episode", run, episode: found.id },
      { turn: hit && String(hit.turn ?? 0), find: hit?.match },
    );
  return (
    <div class="found">
      <p>
        <a href={to(found.hits[0])}>{visible(found.id)}</a>{" "}
        <span class="quiet">
          outcome {found.end === "error" ? "–" : cell(found.outcome)}, {found.end}{" "}
          {labelOf(run, found.id, found.label) ?? ""} {found.tags.join(" ")}
        </span>
      </p>
      {found.hits.map((hit) => (
        <a class="hit" href={to(hit)}>
          <span class="num quiet">{hit.turn ?? "–"}</span>
          <span class="quiet">{hit.role}</span>
          <span class="hit-text">
            {flat(hit.before)}
            <mark>{flat(hit.match)}</mark>
            {flat(hit.after)}
          </span>
        </a>
      ))}
      {found.more > 0 && <p class="quiet">and in {counted(found.more, "more turn")}</p>}
    </div>
  );
}

function flat(text: string): string {
  return visible(text.replace(/\s+/g, " "));
}
