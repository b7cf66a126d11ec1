// Two runs task by task: the second less the first.

import { visible } from "../model/ansi";
import "./compare.css";
import { useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { printAddress } from "../model/address";
import { compareRuns, listRuns } from "../model/api";
import { Beside, type Pick, pickName, picks } from "./beside";
import { type Scale, symmetric } from "../model/colours";
import { cell, counted, number, signed } from "../model/format";
import { type Key, screenKeys, useKeys } from "../model/keys";
import { Windowed } from "../parts/list";
import { useLoaded } from "../model/load";
import { changedOnly, MatrixPanel, toggleChanged } from "./matrix";
import { Choice, Quiet, Shade, Wrong } from "../parts/parts";
import { go, look, query } from "../model/state";
import type { ComparedTask, Versus } from "../model/types";

const SIDES = ["a", "b"] as const;
const VIEWS = ["tasks", "matrix"] as const;
const show = (view: (typeof VIEWS)[number]) => look({ view: view === "matrix" ? view : undefined });
const KEYS: readonly Key[] = [
  { keys: "1 2", what: "task by task, tasks by checkpoints", act: (key) => show(VIEWS[+key - 1]!) },
  { keys: "o", what: "only what changed, or all tasks", act: toggleChanged },
];

export function Compare({ a, b }: { a: string; b: string }): JSX.Element {
  const view = query.value["view"] === "matrix" ? "matrix" : "tasks";
  const more = (query.value["with"] ?? "").split(",").filter(Boolean);
  const isAlone = picks().includes(null);
  useKeys(screenKeys, () => (isAlone ? KEYS : null), [isAlone]);
  const to = (place: { a: string; b: string }) =>
    go({ screen: "compare", ...place }, { view: query.value["view"], with: query.value["with"] });
  return (
    <div class="screen">
      <div class="bar">
        <Choice
          label="view"
          options={VIEWS}
          value={view}
          choose={show}
          names={{ tasks: "task by task", matrix: "tasks by checkpoints" }}
        />
        <RunChoice label="first" value={a} choose={(next) => to({ a: next, b })} />
        <RunChoice label="second" value={b} choose={(next) => to({ a, b: next })} />
        {more.length > 0 && view === "matrix" && <span class="quiet">and {more.join(", ")}</span>}
      </div>
      {view === "tasks" ? (
        <TasksPanel key={`${a} ${b}`} a={a} b={b} />
      ) : (
        <MatrixPanel key={`${a} ${b} ${more}`} runs={[...new Set([a, b, ...more])]} keys={KEYS} />
      )}
    </div>
  );
}

function TasksPanel({ a, b }: { a: string; b: string }): JSX.Element {
  const at = query.value["at"];
  const key = JSON.stringify([a, b, at]);
  const loaded = useLoaded(key, () => compareRuns(a, b, at), true).value;
  const cells = useMemo(() => cellsOf(loaded.value), [loaded.value]);
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return (
    <>
      <div class="bar">
        <When versus={loaded.value} at={at ?? ""} />
        <Choice
          label="tasks"
          options={["all tasks", "only what changed"]}
          value={changedOnly() ? "only what changed" : "all tasks"}
          choose={(next) => look({ tasks: next === "all tasks" ? undefined : "changed" })}
        />
      </div>
      <Shown versus={loaded.value} />
      <Beside keys={KEYS} cells={cells} />
    </>
  );
}

/** The episodes of each side of each task. */
function cellsOf(versus: Versus | null): Pick[][] {
  if (!versus) return [];
  const of = (task: ComparedTask) => (side: (typeof SIDES)[number]) =>
    task[side].episodes.map((episode) => ({ run: versus[side].run, episode }));
  return versus.tasks.flatMap((task) => SIDES.map(of(task)));
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
  const changed = changedOnly();
  const tasks = changed ? versus.tasks.filter((task) => task.difference !== 0) : versus.tasks;
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
            <span role="columnheader">beside</span>
            <span role="columnheader" class="wide">
              episodes
            </span>
          </div>
        </div>
        <Windowed
          count={tasks.length}
          guess={24}
          fixed
          of={`${versus.a.run} ${versus.b.run} ${changed}`}
          label="tasks"
          roles="rows"
          render={(index) => <TaskRow versus={versus} task={tasks[index]!} scale={scale} />}
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
        {visible(task.task)}
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
      <span role="cell">
        <Pair versus={versus} task={task} />
      </span>
      <span role="cell" class="episode-links wide">
        {SIDES.map((side) => (
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

/** Lays the first episode of both sides side by side. */
function Pair({ versus, task }: Omit<TaskRowProps, "scale">): JSX.Element | null {
  const [first, second] = [task.a.episodes[0], task.b.episodes[0]];
  if (first === undefined || second === undefined) return null;
  const chosen = {
    first: pickName({ run: versus.a.run, episode: first }),
    second: pickName({ run: versus.b.run, episode: second }),
  };
  return (
    <button
      type="button"
      class="pair"
      aria-pressed={
        query.value["first"] === chosen.first && query.value["second"] === chosen.second
      }
      aria-label={`align episodes of ${task.task}`}
      onClick={() => look({ ...chosen, row: undefined })}
    >
      align
    </button>
  );
}
