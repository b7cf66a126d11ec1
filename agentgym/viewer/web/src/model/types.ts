// What the server answers.

export type End = "terminated" | "truncated" | "error";
export type Num = number | null;

export interface RunLine {
  run: string;
  path: string;
  env: string | null;
  status: string;
  live: boolean;
  step: Num;
  scalars: number;
  steps: number;
  episodes: number;
  success: Num;
  started: string | null;
  credit: string | null;
  shaping: string | null;
  faults: number;
  broken: number;
}

export interface RunDetail extends Omit<RunLine, "steps" | "faults" | "broken"> {
  info: Record<string, unknown> | null;
  config: string | null;
  steps: number[];
  versions: Num[];
  events: Event[];
  alarms: Event[];
  faults: { id: string; reason: string }[];
  broken: string[];
  metrics: string[];
  indexed: { episodes: number; bytes: number; of_bytes: number };
}

export interface Event {
  kind?: string;
  time?: string;
  step?: number;
  [key: string]: unknown;
}

export interface Curves {
  step: number[];
  series: Record<string, Num[]>;
  /** Steps at which a curve was not finite. */
  lost: Record<string, number[]>;
}

export interface EpisodeLine {
  id: string;
  group: string;
  member: Num;
  attempt: Num;
  task: string;
  env: string;
  split: string;
  end: End;
  reason: string;
  outcome: Num;
  reward: Num;
  turns: number;
  tokens: number;
  version_min: Num;
  version_max: Num;
  step: Num;
  parent: string | null;
  fork_step: Num;
  tags: string[];
  label: string | null;
}

/** How many episodes were looked at, of how many. */
export interface Progress {
  episodes: number;
  of_episodes: number;
}

export interface Filters {
  tags: { name: string; note: string; tripwire: boolean; episodes: number }[];
  labels: { label: string; episodes: number }[];
  tagged: Progress;
}

/** A place where something was said; turn null: in the prompt. */
export interface Hit {
  turn: Num;
  role: string;
  before: string;
  match: string;
  after: string;
}

export interface Found extends EpisodeLine {
  hits: Hit[];
  /** Turns that are not among the hits. */
  more: number;
}

export interface Page<T> {
  total: number;
  rows: T[];
}

export interface GridGroup {
  group: string;
  task: string;
  step: Num;
  cells: { id: string; reward: Num; end: End }[];
  zero_variance: boolean;
}

export interface Message {
  role: string;
  content?: unknown;
  reasoning_content?: unknown;
  tool_calls?: { id?: string; function?: { name?: string; arguments?: unknown } }[];
  tool_call_id?: string;
}

export interface Step {
  index: number;
  reward_terms: Record<string, number>;
  shaped: Record<string, Num>;
  gates: Record<string, Num>;
  reward: Num;
  advantage: Num;
  timed_out: boolean;
  timings: Record<string, number>;
  usage: Record<string, unknown>;
  agent: string | null;
  finish: string | null;
  segment: number | null;
  /** [first, stop) in the segment. */
  tokens: [number, number] | null;
  /** (token of the step, policy version from there on) */
  versions: [number, number][];
}

/** A step with what was said at it. */
export interface SaidStep extends Step {
  message: Message;
  replies: Message[];
  state: string | null;
  action: string | null;
  next_state: string | null;
}

export interface Episode {
  id: string;
  group: string;
  member: Num;
  attempt: Num;
  seed: Num;
  policy: string | null;
  end: End;
  reason: string;
  outcome: Num;
  seconds: Num;
  drift: Num;
  parent: string | null;
  fork_step: Num;
  task: Record<string, unknown>;
  prompt: Message[];
  tools: { name?: string; description?: string }[];
  steps: Step[];
  segments: { length: number; parent: Num; reason: string }[];
  update: { step: number; version: Num; gates: Record<string, Num> } | null;
  credits: string[];
  notes: { label: string; text: string }[];
  label: string | null;
  tags: { name: string; note: string; tripwire: boolean }[];
  trouble: string | null;
  /** By step: the mean of the trainer's probability over the engine's, and how far they are apart. */
  ribbon?: { ratio: Num; kl: Num }[] | null;
  /** Whether the environment drew anything. */
  panels: boolean;
}

export interface SaidEpisode extends Episode {
  steps: SaidStep[];
}

/** What an estimator, less another one, made of a group. */
export interface Lens {
  label: string;
  returns: Record<string, Num>;
  /** By episode, the advantage of each step. */
  steps: Record<string, Num[]>;
  /** Whether tokens of a step differ. */
  tokens: boolean;
  /** How far from 0 an advantage is at most, of any token of the group. */
  most: number;
  /** Estimators that can be asked. */
  known: string[];
}

/** How the rewards of an episode came about; lists are by turn. */
export interface Ledger {
  terms: LedgerTerm[];
  gates: { term: string; condition: string; share: number[] }[];
  rewards: number[];
  total: number;
  /** What was trained on, where it differs from that. */
  recorded: number[] | null;
}

export interface LedgerTerm {
  term: string;
  weight: Num;
  scope: string | null;
  form: string | null;
  raw: number[];
  paid: number[];
  states: string[];
  blocked_by: string[];
  total: number;
}

export interface GridPanel {
  kind: "grid";
  title: string;
  /** A row is a text of one character a cell, or a list of cells. */
  rows: (string | string[])[];
  legend: Record<string, string>;
}

export interface DiffPanel {
  kind: "diff";
  title: string;
  before: string;
  after: string;
}

export interface TablePanel {
  kind: "table";
  title: string;
  columns: string[];
  rows: (string | number | boolean | null)[][];
}

export interface TerminalPanel {
  kind: "terminal";
  title: string;
  text: string;
}

export type Panel = GridPanel | DiffPanel | TablePanel | TerminalPanel;

/** Of each token the ids that its text would have instead; null: the same. */
export interface Truth {
  truth: (number[] | null)[] | null;
  of?: number;
  why?: string;
  hint?: string | null;
}

export interface Pieces {
  pieces: (string | null)[] | null;
  first?: number;
  of?: number;
  why?: string;
  hint?: string | null;
}

export interface State {
  run: string;
  episodes: number;
  step: Num;
  status: string;
  /** Lines of curves that were read. */
  scalars: number;
}

/** At most one step of every member of a group. */
export interface AlignedRow {
  cells: (number | null)[];
  same: "all" | "some" | "none";
  folded: boolean;
  rejoins: boolean;
}

/** Rollouts of one group, or of several runs. */
export interface AlignedShown {
  members: (Pick<EpisodeLine, "id" | "member" | "end" | "outcome" | "reward"> & {
    attempt?: Num;
    label?: string | null;
    run?: string;
    /** Of a group of forks: what they go on from, which is no rollout of the group. */
    is_parent?: boolean;
    actions: string[];
  })[];
  rows: AlignedRow[];
  diverge: Num;
  reconverge: Num;
  /** From where all of them go on, if they are forks. */
  forked?: { parent: string; turn: Num } | null;
}

export interface GroupShown extends AlignedShown {
  group: string;
  task: string;
  step: Num;
  of: number;
  credit: { label: string; steps: Record<string, Num[]> } | null;
  trouble: string[];
}

export interface Why {
  weight: Num;
  cause: string;
  chain: { what: string; value: Num; note: string; stops: boolean }[];
}

export interface Node {
  id: number;
  kind: string;
  key: string;
  text: string;
  x: number;
  y: number;
  visits: number;
  value: Num;
  advantage: Num;
  /** 0: winners and the rest do the same there, 1: nothing in common; null: only one of them came. */
  parts: Num;
}

export interface Edge {
  from: number;
  to: number;
  action: string;
  count: number;
  advantage: Num;
  /** (member, step) of each time. */
  steps: [number, number][];
}

export interface StatesShown {
  credit: GroupShown["credit"];
  members: Pick<EpisodeLine, "id" | "member" | "attempt" | "end" | "outcome" | "reward">[];
  nodes: Node[];
  edges: Edge[];
}

/** What became of the tokens of a run, by cause, as far as they are counted. */
export interface Tally {
  tokens: number;
  steps: number[];
  of_steps: number;
  causes: Record<string, number>;
}

/** Tasks by the evaluations of some runs. */
export interface Matrix {
  columns: {
    run: string;
    step: Num;
    which: string;
    rate: number;
    episodes: number;
    faults: number;
  }[];
  of_tasks: number;
  tasks: MatrixTask[];
  trouble: string[];
}

export interface MatrixCell {
  won: number;
  of: number;
  /** The mean. */
  outcome: Num;
  /** Some of them, by which they are opened. */
  episodes: string[];
}

export interface MatrixTask {
  task: string;
  split: string;
  cells: (MatrixCell | null)[];
  spread: number;
}

export interface ComparedTask {
  task: string;
  split: string;
  a: { outcome: Num; episodes: string[]; of: number };
  b: { outcome: Num; episodes: string[]; of: number };
  difference: Num;
}

interface ComparedRun {
  run: string;
  which: string;
  episodes: number;
  faults: number;
  evaluations: number[];
}

/** The second run less the first. */
export interface Versus {
  a: ComparedRun;
  b: ComparedRun;
  paired: boolean;
  differences: Record<string, { a: Num; b: Num; difference: Num; low: Num; high: Num }>;
  wins: Num;
  ties: Num;
  losses: Num;
  p: Num;
  of_tasks: number;
  tasks: ComparedTask[];
}

/** What can be done at the turns of an episode; `why_not` says why nothing. */
export interface ForkOffer {
  episode: string;
  why_not: string | null;
  /** The last turn to begin at. */
  last: number;
  checkpoints: number[];
  policies: string[];
  most_samples: number;
  /** Good for one fork. */
  token: string | null;
}

/** A process of `agentgym fork` that this viewer started. */
export interface Fork {
  fork: string;
  episode: string;
  turn: number;
  how: "samples" | "message";
  policy: string;
  status: "running" | "finished" | "failed";
  done: number;
  of: number;
  group: string | null;
  children: { id: string; end: End; reason: string; outcome: Num; turns: number }[];
  error: string | null;
  hint: string | null;
  /** What was asked before, and said. */
  talk: (ForkAsked & { said: string })[];
  /** What a person is asked now. */
  asked: ForkAsked | null;
  refused: string | null;
}

export interface ForkAsked {
  turn: number;
  messages: Message[];
  tools: { name: string; description?: string; parameters?: Record<string, unknown> }[];
}
