// What the environment drew of the state at a turn: grids, differences, tables, terminal output.

import "./panels.css";
import { useEffect, useMemo } from "preact/hooks";
import type { JSX } from "preact";
import { visible } from "../model/ansi";
import { panels } from "../model/api";
import { diffLines, diffRows, type DiffRow } from "../model/diff";
import { number } from "../model/format";
import { Pages } from "../model/pages";
import { Quiet, Text, Wrong } from "../parts/parts";
import type {
  DiffPanel,
  Episode,
  GridPanel,
  Panel,
  TablePanel,
  TerminalPanel,
} from "../model/types";

const HUES = 6;

/** `turn` is null where the address names none: then the state after reset is shown. */
export function Panels({
  run,
  episode,
  turn,
}: {
  run: string;
  episode: Episode;
  turn: number | null;
}): JSX.Element | null {
  const pages = useMemo(
    () =>
      episode.panels ? new Pages((offset, limit) => panels(run, episode.id, offset, limit)) : null,
    [run, episode],
  );
  useEffect(() => () => pages?.stop(), [pages]);
  if (!pages) return null;
  void pages.came.value;
  const state = turn === null ? 0 : turn + 1;
  pages.want(Math.max(0, state - 1), state + 2);
  const { from, shown } = lastDrawn((at) => pages.at(at), state);
  return (
    <section class="panels" aria-label="what the environment drew">
      <h2>
        State <span class="quiet">{from === 0 ? "at the start" : `after turn ${from - 1}`}</span>
      </h2>
      {pages.error.value && <Wrong error={pages.error.value} />}
      {shown.map((panel) => (
        <figure class="drawn">
          {panel.title && <figcaption class="quiet">{visible(panel.title)}</figcaption>}
          <Drawn panel={panel} />
        </figure>
      ))}
      {shown.length === 0 && pages.at(state) && <Quiet>Nothing was drawn so far.</Quiet>}
    </section>
  );
}

/** The newest state up to `state` of which something was drawn, as far as is known. */
export function lastDrawn(
  at: (state: number) => Panel[] | undefined,
  state: number,
): { from: number; shown: Panel[] } {
  for (let from = state; from >= 0; from--) {
    const shown = at(from);
    if (!shown) break;
    if (shown.length) return { from, shown };
  }
  return { from: state, shown: [] };
}

function Drawn({ panel }: { panel: Panel }): JSX.Element {
  switch (panel.kind) {
    case "grid":
      return <Grid panel={panel} />;
    case "diff":
      return <Diff panel={panel} />;
    case "table":
      return <Table panel={panel} />;
    case "terminal":
      return <Terminal panel={panel} />;
  }
}

function Grid({ panel }: { panel: GridPanel }): JSX.Element {
  const hues = new Map(Object.keys(panel.legend).map((mark, at) => [mark, `g${at % HUES}`]));
  const wide = panel.rows.some((row) => [...row].some((mark) => [...mark].length > 2));
  return (
    <>
      <table class={`drawn-grid ${wide ? "wide-cells" : ""}`}>
        <tbody>
          {panel.rows.map((row) => (
            <tr>
              {[...row].map((mark) => (
                <td
                  class={hues.get(mark) ?? ""}
                  title={hues.has(mark) ? panel.legend[mark] : undefined}
                >
                  {visible(mark)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {hues.size > 0 && (
        <p class="marks quiet">
          {[...hues].map(([mark, hue]) => (
            <span>
              <span class={`mark ${hue}`}>{visible(mark)}</span> {visible(panel.legend[mark]!)}
            </span>
          ))}
        </p>
      )}
    </>
  );
}

const SIGNS = { same: " ", gone: "−", new: "+" } as const;

function Diff({ panel }: { panel: DiffPanel }): JSX.Element {
  const rows = useMemo(
    () => diffRows(diffLines(panel.before, panel.after)),
    [panel.before, panel.after],
  );
  if (!rows.some((row) => row.kind === "gone" || row.kind === "new"))
    return <Quiet>Nothing changed.</Quiet>;
  return (
    <div class="diff scrolls" tabIndex={0} role="region" aria-label="difference">
      {rows.slice(0, 2000).map((row) => (
        <DiffLine row={row} />
      ))}
      {rows.length > 2000 && <p class="quiet">{rows.length - 2000} more lines</p>}
    </div>
  );
}

function DiffLine({ row }: { row: DiffRow }): JSX.Element {
  if (row.kind === "folded")
    return <div class="diff-line folded quiet">{row.count} lines are the same</div>;
  return (
    <div class={`diff-line ${row.kind}`}>
      <span class="quiet num">{row.before ?? ""}</span>
      <span class="quiet num">{row.after ?? ""}</span>
      <span class="sign">{SIGNS[row.kind]}</span>
      <code>{visible(row.text)}</code>
    </div>
  );
}

function Table({ panel }: { panel: TablePanel }): JSX.Element {
  return (
    <div class="scrolls" tabIndex={0} role="region" aria-label="table">
      <table class="lines drawn-table">
        <thead>
          <tr>
            {panel.columns.map((name) => (
              <th scope="col">{visible(name)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {panel.rows.slice(0, 500).map((row) => (
            <tr>
              {row.map((value) => (
                <td class={typeof value === "number" ? "num" : value === false ? "bad" : ""}>
                  {valueText(value)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {panel.rows.length > 500 && <p class="quiet">{panel.rows.length - 500} more rows</p>}
    </div>
  );
}

/** A value of a table: yes and no in words, so that nothing depends on colours. */
export function valueText(value: string | number | boolean | null): string {
  if (value === null) return "";
  if (typeof value === "boolean") return value ? "yes" : "no";
  return typeof value === "number" ? number(value, 6) : visible(value);
}

function Terminal({ panel }: { panel: TerminalPanel }): JSX.Element {
  return (
    <pre class="terminal scrolls" tabIndex={0} role="region" aria-label="terminal output">
      <Text text={panel.text} />
    </pre>
  );
}
