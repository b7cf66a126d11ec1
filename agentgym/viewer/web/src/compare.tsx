// Two runs task by task: the second less the first.

import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "./address";
import { compareRuns, listRuns } from "./api";
import { type Scale, symmetric } from "./colours";
import { cell, counted, number, signed } from "./format";
import { screenKeys } from "./keys";
import { Windowed } from "./list";
import { useLoaded } from "./load";
import { Quiet, Shade, Wrong } from "./parts";
import { go, look, query } from "./state";
import type { ComparedTask, Versus } from "./types";

export function Compare({ a, b }: { a: string; b: string }): JSX.Element {
  const at = query.value["at"];
  const key = JSON.stringify([a, b, at]);
  const loaded = useLoaded(key, () => compareRuns(a, b, at), true).value;
  useEffect(() => void (screenKeys.value = []), []);
  return (
    <div class="screen">
      <div class="bar">
        <RunChoice
          label="first"
          value={a}
          choose={(next) => go({ screen: "compare", a: next, b })}
        />
        <RunChoice
          label="second"
          value={b}
          choose={(next) => go({ screen: "compare", a, b: next })}
        />
        {loaded.value && <When versus={loaded.value} at={at ?? ""} />}
      </div>
      {loaded.error && <Wrong error={loaded.error} />}
      {!loaded.error && !loaded.value && <Quiet>Loading.</Quiet>}
      {!loaded.error && loaded.value && <Shown versus={loaded.value} />}
    </div>
  );
}

interface RunChoiceProps {
  label: string;
  value: string;
  choose: (next: string) => void;
}

function RunChoice({ label, value, choose }: RunChoiceProps): JSX.Element {
  const runs = useLoaded("runs", listRuns).value.value ?? [];
  const names = [...new Set([value, ...runs.map((each) => each.run)])];
  return (
    <label>
      {label}{" "}
      <select value={value} onChange={(event) => choose(event.currentTarget.value)}>
        {names.map((each) => (
          <option value={each}>{each}</option>
        ))}
      </select>
    </label>
  );
}

function When({ versus, at }: { versus: Versus; at: string }): JSX.Element {
  const both = versus.a.evaluations.filter((step) => versus.b.evaluations.includes(step));
  return (
    <label>
      evaluation after step{" "}
      <select value={at} onChange={(event) => look({ at: event.currentTarget.value })}>
        <option value="">the last</option>
        {both.map((step) => (
          <option value={String(step)}>{step}</option>
        ))}
      </select>
    </label>
  );
}

function Shown({ versus }: { versus: Versus }): JSX.Element {
  const scale = useMemo(() => symmetric(versus.tasks.map((task) => task.difference)), [versus]);
  return (
    <>
      <div class="page">
        <Measures versus={versus} />
        <p class="quiet">{told(versus)}</p>
      </div>
      <div class="fill" role="table" aria-label="tasks">
        <div role="rowgroup">
          <div class="task-row head" role="row">
            {["task", versus.a.run, versus.b.run, "difference"].map((name, at) => (
              <span role="columnheader" class={at ? "num" : ""} title={name}>
                {at === 1 || at === 2 ? ["", "first", "second"][at] : name}
              </span>
            ))}
            <span role="columnheader" class="wide">
              episodes
            </span>
          </div>
        </div>
        <Windowed
          count={versus.tasks.length}
          guess={24}
          fixed
          of={`${versus.a.run} ${versus.b.run}`}
          label="rows"
          roles="rows"
          render={(index) => <TaskRow versus={versus} task={versus.tasks[index]!} scale={scale} />}
        />
      </div>
    </>
  );
}

function Measures({ versus }: { versus: Versus }): JSX.Element {
  return (
    <table class="lines measures">
      <thead>
        <tr>
          <th scope="col">mean of</th>
          <th scope="col" class="num">
            first
          </th>
          <th scope="col" class="num">
            second
          </th>
          <th scope="col" class="num">
            difference
          </th>
          <th scope="col" class="num">
            interval of 95%
          </th>
        </tr>
      </thead>
      <tbody>
        {Object.entries(versus.differences).map(([name, each]) => (
          <tr>
            <th scope="row">{name}</th>
            <td class="num">{number(each.a)}</td>
            <td class="num">{number(each.b)}</td>
            <td class="num">{signed(each.difference)}</td>
            <td class="num">
              {each.low === null ? "–" : `${signed(each.low)} to ${signed(each.high)}`}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function told(versus: Versus): string {
  const of = `${versus.a.which}, ${counted(versus.of_tasks, "task")}`;
  if (!versus.paired) return `${of}; the episodes cannot be paired.`;
  const { wins, ties, losses, p } = versus;
  return `${of}; of pairs the second is above in ${wins}, alike in ${ties}, below in ${losses}; p ${number(p)}.`;
}

interface TaskRowProps {
  versus: Versus;
  task: ComparedTask;
  scale: Scale;
}

function TaskRow({ versus, task, scale }: TaskRowProps): JSX.Element {
  return (
    <div class="task-row">
      <span role="cell" title={`${task.task}, ${task.split}`}>
        {task.task}
      </span>
      <span role="cell" class="num">
        {cell(task.a.outcome)}
      </span>
      <span role="cell" class="num">
        {cell(task.b.outcome)}
      </span>
      <span role="cell" class="num">
        <Shade value={task.difference} scale={scale} what="difference of mean outcomes" />
      </span>
      <span role="cell" class="episode-links wide">
        {(["a", "b"] as const).map((side) => (
          <span>
            {task[side].episodes.slice(0, 8).map((id, at) => (
              <a
                href={printAddress({ screen: "episode", run: versus[side].run, episode: id })}
                title={`${versus[side].run}: ${id}`}
              >
                {at}
              </a>
            ))}
          </span>
        ))}
      </span>
    </div>
  );
}
