// Questions to the server, with the types of their answers.

import { encodePart } from "./address";
import { put } from "./line";
import { signed } from "./owner";
import { answerFrom, canonical, file, type Query } from "./shared";
import type {
  AlignedShown,
  Curves,
  Episode,
  EpisodeLine,
  Filters,
  Fork,
  ForkOffer,
  Found,
  GridGroup,
  GroupShown,
  Ledger,
  Lens,
  Matrix,
  Page,
  Panel,
  Pieces,
  Progress,
  RunDetail,
  RunLine,
  SaidEpisode,
  StatesShown,
  Tally,
  Truth,
  Versus,
  Why,
} from "./types";

/** An answer that says what is wrong; `at` is the place in a filter, from 0. */
export class ApiError extends Error {
  constructor(
    message: string,
    readonly hint: string | null,
    readonly at: number | null,
    readonly status: number,
  ) {
    super(message);
  }

  /** Whether the same may be answered later: nobody was there, or nobody had time. */
  get isPassing(): boolean {
    return this.status === 0 || this.status === 503;
  }
}

export type Column = Uint8Array | Int8Array | Int32Array | Float32Array | Float64Array;
export type Columns = Record<string, Column>;

export const listRuns = () => json<RunLine[]>("/api/runs");
export const showRun = (run: string) => json<RunDetail>(of(run));
export const curves = (run: string) => json<Curves>(of(run, "metrics"));
export const listEpisodes = (run: string, query: Query) =>
  json<Page<EpisodeLine>>(of(run, "episodes"), query);
/** Without what takes long to find: its ledger and its tags are asked for by themselves. */
export const showEpisode = (run: string, episode: string) =>
  json<SaidEpisode>(of(run, "episodes", episode), { parts: "said" });
/** The same, when it is the turn of what stands beside what one looks at. */
export const showEpisodeLater = (run: string, episode: string) =>
  json<SaidEpisode>(of(run, "episodes", episode), { parts: "said" }, "said");
/** The same without what was said at its steps, which of a long one takes long, too. */
export const outlineEpisode = (run: string, episode: string): Promise<Episode> =>
  file ? showEpisode(run, episode) : json<Episode>(of(run, "episodes", episode), { parts: "none" });
export const showTags = async (run: string, episode: string) =>
  (await json<{ tags: Episode["tags"] }>(of(run, "episodes", episode, "tags"))).tags;

export const showGroup = (run: string, group: string, query: Query) =>
  json<GroupShown>(of(run, "groups", group), query);
export const showStates = (run: string, group: string, query: Query) =>
  json<StatesShown>(of(run, "groups", group, "states"), query);
export const tally = (run: string) => json<Tally>(of(run, "tokens"));
export const compareRuns = (a: string, b: string, at: string | undefined) =>
  json<Versus>("/api/compare", { a, b, at });
export const showMatrix = (runs: readonly string[]) =>
  json<Matrix>("/api/matrix", { runs: runs.join(",") });
export const showBeside = (a: string, first: string, b: string, second: string) =>
  json<AlignedShown>("/api/beside", { a, first, b, second });
export const why = (run: string, episode: string, segment: number, token: number) =>
  json<Why>(of(run, "why"), { episode, segment, token });

export async function grid(run: string, query: Query): Promise<Page<GridGroup>> {
  const found = await json<{ total: number; groups: GridGroup[] }>(of(run, "grid"), query);
  return { total: found.total, rows: found.groups };
}

/** What an estimator makes of a group; `asking` is credit, minus and shaping. */
export const askLens = (run: string, group: string, asking: Query) =>
  json<Lens>(of(run, "lens"), { group, ...asking });

/** What an estimator gives each sampled token of an episode. */
export function advantages(run: string, episode: string, asking: Query): Promise<Columns> {
  return read(of(run, "episodes", episode, "advantages"), asking, bytesOf);
}

/** How its rewards came about, by the shaper of the run or another one; null: it has none. */
export function showLedger(
  run: string,
  episode: string,
  shaping: string | undefined,
): Promise<{ ledger: Ledger | null }> {
  return json(of(run, "episodes", episode, "ledger"), { shaping });
}

/** What was drawn of the states of an episode: after reset, after each turn. */
export const panels = (run: string, episode: string, offset: number, limit: number) =>
  json<Page<Panel[]>>(of(run, "episodes", episode, "panels"), { offset, limit });

/** The episodes of a group, member by member. */
export async function members(run: string, group: string): Promise<EpisodeLine[]> {
  return (await json<Page<EpisodeLine>>(of(run, "groups", group, "members"))).rows;
}

export const showFilters = (run: string, all: boolean) =>
  json<Filters>(of(run, "filters"), { all: all ? 1 : undefined });

/** Episodes in which something was said; `behind` is told how many were not searched yet. */
export async function searchRun(
  run: string,
  query: Query,
  behind: (episodes: number) => void,
): Promise<Page<Found>> {
  const found = await json<Page<Found> & { worded: Progress }>(of(run, "search"), query);
  behind(found.worded.of_episodes - found.worded.episodes);
  return found;
}

export async function putLabel(
  run: string,
  given: { episode: string; label: string; text: string },
): Promise<{ label: string | null; text: string }> {
  return send(of(run, "labels"), given);
}

/** The file that needs no server, with a group or an episode in it. */
export async function shareFile(query: Query): Promise<Blob> {
  return (await ask("/share", query)).blob();
}

/** The episodes that go on from the middle of another one, by the turn. */
export async function forksOf(run: string, episode: string): Promise<EpisodeLine[]> {
  const where = `parent="${episode.replace(/[\\"]/g, "\\$&")}"`;
  return (await listEpisodes(run, { where, sort: "fork_step", limit: 1000 })).rows;
}

export const forkOffer = (run: string, episode: string) =>
  json<ForkOffer>(of(run, "fork"), { episode });
export const runningForks = (run: string) => json<Fork[]>(of(run, "forks"));
export const startFork = (run: string, wish: object) => send<Fork>(of(run, "fork"), wish);
export const speakTo = (run: string, fork: string, line: { say: string } | { leave: true }) =>
  send<Fork>(of(run, "forks", fork), line);

export function pieces(
  run: string,
  episode: string,
  segment: number,
  first: number,
  stop: number,
): Promise<Pieces> {
  return json<Pieces>(of(run, "episodes", episode, "pieces"), { segment, first, stop });
}

export function truth(
  run: string,
  episode: string,
  segment: number,
  first: number,
  stop: number,
): Promise<Truth> {
  return json<Truth>(of(run, "episodes", episode, "truth"), { segment, first, stop });
}

export async function columns(
  run: string,
  episode: string,
  segment: number,
  names: readonly string[],
): Promise<Columns> {
  const query = { segment, names: names.join(",") };
  return read(of(run, "episodes", episode, "columns"), query, bytesOf);
}

const bytesOf = async (response: Response) => decodeColumns(await response.arrayBuffer());

/** Lays typed arrays over an answer: u32 length, JSON header, little-endian columns. */
export function decodeColumns(data: ArrayBuffer): Columns {
  const length = new DataView(data).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length))) as {
    columns: { name: string; dtype: string; shape: number[]; offset: number }[];
  };
  const start = 4 + length;
  return Object.fromEntries(
    header.columns.map(({ name, dtype, shape, offset }) => {
      const Kind = KINDS[dtype];
      if (!Kind) throw new Error(`the column ${name} is of ${dtype}, which is not known here`);
      return [
        name,
        new Kind(
          data,
          start + offset,
          shape.reduce((all, each) => all * each, 1),
        ),
      ];
    }),
  );
}

type Kind = new (data: ArrayBuffer, offset: number, length: number) => Column;

const KINDS: Record<string, Kind> = {
  u1: Uint8Array,
  i1: Int8Array,
  i4: Int32Array,
  f4: Float32Array,
  f8: Float64Array,
};

function of(run: string, ...parts: string[]): string {
  return ["/api/runs", ...[run, ...parts].map(encodePart)].join("/");
}

function json<T>(path: string, query: Query = {}, kind?: string): Promise<T> {
  return read(path, query, (response) => response.json() as Promise<T>, kind);
}

/** Asks when it is the turn of the question, and reads the answer. */
function read<T>(
  path: string,
  query: Query,
  how: (response: Response) => Promise<T>,
  kind = path.slice(path.lastIndexOf("/") + 1),
): Promise<T> {
  return put(kind, async (signal) => how(await ask(path, query, { signal: signal ?? null })));
}

async function send<T>(path: string, value: object): Promise<T> {
  const sent = { method: "POST", body: JSON.stringify(value) };
  return (await ask(path, {}, sent)).json() as Promise<T>;
}

async function ask(path: string, query: Query, how: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = file
      ? answerFrom(file, path, query)
      : await fetch(canonical(path, query), { ...how, headers: signed() });
  } catch (error) {
    if (how.signal?.aborted) throw error;
    throw new ApiError("the server does not answer", "is agentgym view still running?", null, 0);
  }
  if (!response.ok) throw await wrong(response);
  return response;
}

async function wrong(response: Response): Promise<ApiError> {
  try {
    const told = (await response.json()) as { error: string; hint?: string | null; at?: number };
    return new ApiError(told.error, told.hint ?? null, told.at ?? null, response.status);
  } catch {
    return new ApiError(`the server answered ${response.status}`, null, null, response.status);
  }
}
