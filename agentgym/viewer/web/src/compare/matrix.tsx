// Tasks by runs and checkpoints: how often each was solved; two cells are laid side by side.

import { visible } from "../model/ansi";
import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { showMatrix } from "../model/api";
import { Beside, type Pick, pickName, picks } from "./beside";
import { colourOf, type Scale } from "../model/colours";
import { cell as mean, count, counted, number, share } from "../model/format";
import { Windowed } from "../parts/list";
import type { Key } from "../model/keys";
import { useLoaded } from "../model/load";
import { Choice, Legend, Quiet, Wrong } from "../parts/parts";
import { look, query, told } from "../model/state";
import type { Matrix, MatrixCell, MatrixTask } from "../model/types";

const COLUMN = 108;
const NAME = 112;
const SCALE: Scale = { kind: "sequential", low: 0, high: 1 };
const SHOWN = ["all tasks", "only what changed"] as const;

interface Props {
  runs: readonly string[];
  /** Keys of the screen around it. */
  keys: readonly Key[];
}

export function MatrixPanel({ runs, keys }: Props): JSX.Element {
  const loaded = useLoaded(runs.join(","), () => showMatrix(runs), true).value;
  const cells = useMemo(() => cellsOf(loaded.value), [loaded.value]);
  if (loaded.error) return <Wrong error={loaded.error} />;
  if (!loaded.value) return <Quiet>Loading.</Quiet>;
  return (
    <>
      <Shown matrix={loaded.value} />
      <Beside keys={keys} cells={cells} />
    </>
  );
}

export const changedOnly = () => query.value["tasks"] === "changed";
export const toggleChanged = () => look({ tasks: changedOnly() ? undefined : "changed" });

function Shown({ matrix }: { matrix: Matrix }): JSX.Element {
  const changed = changedOnly();
  const tasks = useMemo(
    () => (changed ? matrix.tasks.filter((task) => task.spread > 0) : matrix.tasks),
    [matrix, changed],
  );
  useEffect(() => {
    if (matrix.columns.length === 0) told.value = "no run was evaluated";
  }, [matrix]);
  const columns = {
    gridTemplateColumns: `minmax(${NAME}px, 220px) repeat(${matrix.columns.length}, minmax(${COLUMN}px, 132px))`,
    minWidth: `${NAME + matrix.columns.length * COLUMN}px`,
  };
  const chosen = picks();
  return (
    <>
      <div class="bar">
        <Choice
          label="tasks"
          options={SHOWN}
          value={changed ? SHOWN[1] : SHOWN[0]}
          choose={(next) => look({ tasks: next === SHOWN[1] ? "changed" : undefined })}
        />
        <span class="quiet">
          {count(tasks.length)} of {counted(matrix.of_tasks, "task")}
        </span>
        <Legend scale={SCALE} what="share of successes" />
        <span class="quiet">Choose two cells to lay their episodes side by side.</span>
      </div>
      {matrix.trouble.map((each) => (
        <p class="bad pad">{visible(each)}</p>
      ))}
      {tasks.length === 0 && <Quiet>No task is to be shown.</Quiet>}
      <div class="matrix" role="table" aria-label="tasks by evaluations">
        <Windowed
          count={tasks.length}
          guess={25}
          fixed
          of={`${matrix.columns.map((each) => `${each.run} ${each.step}`).join()} ${changed}`}
          label="tasks"
          roles="rows"
          render={(index) => <Row {...{ matrix, columns, chosen }} task={tasks[index]!} />}
          head={<Heads matrix={matrix} columns={columns} />}
        />
      </div>
    </>
  );
}

/** The episodes of each cell, as far as they are told. */
function cellsOf(matrix: Matrix | null): Pick[][] {
  if (!matrix) return [];
  const of = (cell: MatrixCell | null, at: number) =>
    (cell?.episodes ?? []).map((episode) => ({ run: matrix.columns[at]!.run, episode }));
  return matrix.tasks.flatMap((task) => task.cells.map(of));
}

type Columns = Record<string, string>;

function Heads({ matrix, columns }: { matrix: Matrix; columns: Columns }): JSX.Element {
  return (
    <div key="head" class="matrix-row head" role="row" style={columns}>
      <span role="columnheader">task</span>
      {matrix.columns.map((each) => (
        <span
          role="columnheader"
          class="num"
          title={`${each.run}, ${each.which}: ${share(each.rate)} of ${each.episodes} episodes`}
        >
          {each.run}
          <br />
          <span class="quiet">
            {each.step === null ? "all" : `step ${each.step}`} · {share(each.rate)}
          </span>
        </span>
      ))}
    </div>
  );
}

interface RowProps {
  matrix: Matrix;
  columns: Columns;
  chosen: ReturnType<typeof picks>;
  task: MatrixTask;
}

function Row({ matrix, columns, chosen, task }: RowProps): JSX.Element {
  return (
    <div class="matrix-row" style={columns}>
      <span role="rowheader" title={`${task.task}, ${task.split}`}>
        {visible(task.task)}
      </span>
      {task.cells.map((cell, at) => (
        <span role="cell">
          {cell && <Cell run={matrix.columns[at]!.run} cell={cell} chosen={chosen} />}
        </span>
      ))}
    </div>
  );
}

interface CellProps {
  run: string;
  cell: MatrixCell;
  chosen: ReturnType<typeof picks>;
}

function Cell({ run, cell, chosen }: CellProps): JSX.Element {
  const rate = cell.won / cell.of;
  const own = cell.episodes.map((episode): Pick => ({ run, episode }));
  const place = chosen.findIndex((pick) =>
    own.some((each) => pick && pickName(each) === pickName(pick)),
  );
  const told = `${cell.won} of ${counted(cell.of, "episode")} succeeded, mean outcome ${number(cell.outcome)}`;
  const mark = ["first ", "second "][place] ?? "";
  return (
    <button
      type="button"
      class={`matrix-cell num ${colourOf(SCALE, rate)}`}
      aria-pressed={place >= 0}
      aria-label={`${mark}${mean(cell.outcome)} ${cell.won}/${cell.of}, ${run}: ${told}`}
      title={told}
      onClick={() => pick(own, place, chosen)}
    >
      <b>{mark}</b>
      {mean(cell.outcome)} <span class="of">{`${cell.won}/${cell.of}`}</span>
    </button>
  );
}

/** Chooses the first episode of a cell as the first or the second; chosen again it is neither. */
function pick(own: readonly Pick[], place: number, chosen: ReturnType<typeof picks>): void {
  const name = own[0] && pickName(own[0]);
  if (place >= 0) look({ [place ? "second" : "first"]: undefined });
  else if (!chosen[0]) look({ first: name });
  else look({ second: name });
}
