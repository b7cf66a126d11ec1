// Filters of one click: tags with their counts, labels, and those that this browser keeps by name.

import "./filters.css";
import { signal, useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { showFilters } from "../model/api";
import { counted } from "../model/format";
import { useLoaded } from "../model/load";
import { look } from "../model/state";
import type { Filters } from "../model/types";

interface Saved {
  name: string;
  where: string;
}

const KEPT = "filters";
const saved = signal<readonly Saved[]>(kept());

export function FilterChips({ run, where }: { run: string; where: string }): JSX.Element {
  const asked = useSignal(0);
  const key = `${run} ${asked.value}`;
  const loaded = useLoaded(key, () => showFilters(run, asked.value > 0), true).value;
  return (
    <div class="chips" role="group" aria-label="ready filters">
      {loaded.value && <Ready found={loaded.value} where={where} ask={() => asked.value++} />}
      {saved.value.map((each) => (
        <span class="saved">
          <Chip name={each.name} where={each.where} now={where} title={each.where} />
          <button
            type="button"
            class="chip"
            aria-label={`forget ${each.name}`}
            title={`forget ${each.name}`}
            onClick={() => keep(saved.value.filter((other) => other !== each))}
          >
            ×
          </button>
        </span>
      ))}
      {where && !saved.value.some((each) => each.where === where) && <Save where={where} />}
    </div>
  );
}

interface ReadyProps {
  found: Filters;
  where: string;
  ask: () => void;
}

function Ready({ found, where, ask }: ReadyProps): JSX.Element {
  const { episodes, of_episodes: all } = found.tagged;
  return (
    <>
      {[...found.tags].sort(tripwiresFirst).map((tag) => (
        <Chip
          name={tag.name}
          where={`tag=${tag.name}`}
          now={where}
          count={tag.episodes}
          title={tag.note}
          bad={tag.tripwire}
        />
      ))}
      {found.labels.map(({ label, episodes }) => (
        <Chip
          name={label}
          where={`label=${quoted(label)}`}
          now={where}
          count={episodes}
          title={`labelled ${label}`}
        />
      ))}
      {episodes < all && (
        <button
          type="button"
          class="chip quiet"
          title={`${counted(all - episodes, "episode")} not looked at yet`}
          onClick={ask}
        >
          look for tags in all
        </button>
      )}
    </>
  );
}

interface ChipProps extends Saved {
  /** The filter that is on. */
  now: string;
  count?: number;
  title: string;
  bad?: boolean;
}

/** Puts its filter on, or takes it off. */
function Chip({ name, where, now, count, title, bad }: ChipProps): JSX.Element {
  const isOn = now === where;
  return (
    <button
      type="button"
      class={`chip ${bad ? "bad" : ""}`}
      aria-pressed={isOn}
      title={title}
      onClick={() => look({ where: isOn ? "" : where }, true)}
    >
      {name}
      {count !== undefined && <span class="num quiet"> {count}</span>}
    </button>
  );
}

function Save({ where }: { where: string }): JSX.Element {
  const take = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const name = String(new FormData(event.currentTarget).get("name")).trim();
    if (name) keep([...saved.value.filter((each) => each.name !== name), { name, where }]);
  };
  return (
    <form class="saving" onSubmit={take}>
      <input name="name" aria-label="name of this filter" placeholder="keep it as" size={10} />
    </form>
  );
}

function tripwiresFirst(a: Filters["tags"][number], b: Filters["tags"][number]): number {
  return Number(b.tripwire) - Number(a.tripwire) || b.episodes - a.episodes;
}

/** A value as filters write it. */
export function quoted(value: string): string {
  return `"${value.replace(/[\\"]/g, "\\$&")}"`;
}

function keep(next: readonly Saved[]): void {
  saved.value = next;
  try {
    localStorage.setItem(KEPT, JSON.stringify(next));
  } catch {
    // A browser that keeps nothing has them until the page is left.
  }
}

function kept(): Saved[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(KEPT) ?? "[]");
    return Array.isArray(found) ? found.filter(isSaved).slice(0, 50) : [];
  } catch {
    return [];
  }
}

function isSaved(value: unknown): value is Saved {
  const found = Object(value) as Saved;
  return typeof found.name === "string" && typeof found.where === "string";
}
