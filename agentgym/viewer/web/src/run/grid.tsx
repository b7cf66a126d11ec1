// Groups of a run, a cell for each rollout. A group whose rewards are all the same is hatched: it
// teaches nothing to estimators that compare its rollouts.

import "./grid.css";
import { visible } from "../model/ansi";
import { useComputed, useSignal } from "@preact/signals";
import { useCallback, useEffect, useMemo, useRef } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { grid } from "../model/api";
import { colourOf, type Scale, symmetric } from "../model/colours";
import { cell, counted, number } from "../model/format";
import { Windowed } from "../parts/list";
import { Pages } from "../model/pages";
import { Legend, Quiet, Wrong } from "../parts/parts";
import { look, query } from "../model/state";
import type { GridGroup } from "../model/types";

const ROW = 26;
const MANY = 20; // cells, from which on they are too many to have their numbers in them

interface Props {
  run: string;
  steps: number[];
  /** What has grown since the groups were asked for. */
  seen: string;
}

export function GridPanel({ run, steps, seen }: Props): JSX.Element {
  const step = query.value["step"] ?? "";
  const where = step === "eval" ? "step=none" : step ? `step=${step}` : "";
  const key = `${run}\n${where}`;
  const pages = useMemo(
    () => new Pages<GridGroup>((first, size) => grid(run, { where, first, last: first + size })),
    [key],
  );
  const most = useSignal(1);
  const scale = useComputed<Scale>(() => ({ kind: "diverging", most: most.value }));
  const range = useRef<[number, number]>([0, 1]);
  const onSeen = useCallback(
    (first: number, stop: number) => {
      range.current = [first, stop];
      pages.want(first, stop);
    },
    [pages],
  );
  const known = useRef(seen);
  useEffect(() => {
    if (known.current !== seen) pages.renew(...range.current);
    known.current = seen;
  }, [seen, pages]);
  void pages.came.value;
  const total = pages.total.value;
  if (pages.error.value && total === null) return <Wrong error={pages.error.value} />;
  most.value = Math.max(most.peek(), widest(pages, total ?? 0));
  return (
    <div class="fill">
      <div class="bar">
        <label>
          step{" "}
          <select value={step} onChange={(event) => look({ step: event.currentTarget.value })}>
            <option value="">all</option>
            <option value="eval">not trained on</option>
            {steps.map((each) => (
              <option value={String(each)}>{each}</option>
            ))}
          </select>
        </label>
        <span class="quiet">{total !== null && counted(total, "group")}</span>
        <Legend scale={scale.value} what="reward" />
        <span class="legend">
          <span class="swatch hatched wide-swatch">all the same</span>
        </span>
      </div>
      {total === 0 && <Quiet>No group is of this step.</Quiet>}
      <Windowed
        count={total ?? 0}
        guess={ROW}
        fixed
        of={key}
        label="groups"
        onSeen={onSeen}
        render={(index) => <Row run={run} group={pages.at(index)} scale={scale.value} />}
      />
    </div>
  );
}

function widest(pages: Pages<GridGroup>, total: number): number {
  const found: (number | null)[] = [];
  for (let index = 0; index < Math.min(total, 1000); index++) {
    for (const each of pages.at(index)?.cells ?? []) found.push(each.reward);
  }
  const scale = symmetric(found);
  return scale.kind === "diverging" ? scale.most : 0;
}

function Row({
  run,
  group,
  scale,
}: {
  run: string;
  group: GridGroup | undefined;
  scale: Scale;
}): JSX.Element {
  if (!group) return <div class="group-row quiet">…</div>;
  return (
    <div class="group-row">
      <span class="id name">
        <a
          href={printAddress({ screen: "group", run, group: group.group })}
          title={`${group.group}, task ${group.task}`}
        >
          {visible(group.group)}
        </a>
      </span>
      <span class="num quiet step">{group.step ?? "–"}</span>
      <span
        class={`cells ${group.zero_variance ? "hatched" : ""} ${group.cells.length > MANY ? "many" : ""}`}
        title={group.zero_variance ? "all rewards are the same" : ""}
      >
        {group.cells.map((each) => (
          <a
            class={`cell ${each.end} ${each.end === "error" ? "" : colourOf(scale, each.reward)}`}
            href={printAddress({ screen: "episode", run, episode: each.id })}
            title={`${each.id}\nreward ${number(each.reward, 6)}\n${each.end}`}
          >
            {each.end === "error" ? "×" : cell(each.reward)}
          </a>
        ))}
      </span>
    </div>
  );
}
