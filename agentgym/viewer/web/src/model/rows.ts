// The messages of an episode as rows of a list; a long text is several of them.

import { visible } from "./ansi";
import type { Message, SaidEpisode, Step } from "./types";

export interface Row {
  kind: "text" | "reasoning" | "call" | "nothing";
  role: string;
  text: string;
  /** Of a call: which tool. */
  name: string;
  /** Number of the turn; null in the prompt. */
  turn: number | null;
  /** The step that it begins; null in all other rows. */
  begins: Step | null;
  /** Whether it is the first row of its message. */
  head: boolean;
}

/** Characters of a row. A row is laid out as a whole when any of it is seen. */
export const LONGEST = 6000;

export function episodeRows(episode: Pick<SaidEpisode, "prompt" | "steps">): Row[] {
  const rows = episode.prompt.flatMap((message) => messageRows(message, null));
  for (const step of episode.steps) {
    const own = messageRows(step.message, step.index);
    own[0]!.begins = step;
    rows.push(...own, ...step.replies.flatMap((message) => messageRows(message, step.index)));
  }
  return rows;
}

/** The first row of each turn. */
export function turnStarts(rows: readonly Row[]): number[] {
  return rows.flatMap((row, index) => (row.begins ? [index] : []));
}

/** The turn that a row belongs to; -1 in the prompt. */
export function turnOf(rows: readonly Row[], index: number): number {
  return rows[Math.min(index, rows.length - 1)]?.turn ?? -1;
}

/** The class of a role. Records may have any role, and no class may be made of what a record says. */
export function roleClass(role: string): string {
  return role === "assistant" ? "role-assistant" : "";
}

/** What a row shows, without colours of terminals, for a search. */
export function plain(row: Row): string {
  return visible(row.text.replace(/\x1b\[[0-9;:]*m/g, ""));
}

const searched = new WeakMap<readonly Row[], string[]>();

/** What each row shows; of a long episode that takes a while, so that it waits for a search. */
export function plains(rows: readonly Row[]): string[] {
  const found = searched.get(rows) ?? rows.map(plain);
  searched.set(rows, found);
  return found;
}

/** The conversation as Markdown, to be pasted elsewhere. */
export function asMarkdown(rows: readonly Row[]): string {
  let text = "";
  for (const row of rows) {
    if (row.head)
      text += `${text && "\n\n"}## ${row.role}${row.begins ? `, turn ${row.begins.index}` : ""}\n\n`;
    const fence = "`".repeat(Math.max(3, longestRun(row.text, "`") + 1));
    text += row.kind === "call" ? `\n${fence}json ${row.name}\n${row.text}\n${fence}\n` : row.text;
  }
  return `${text}\n`;
}

function longestRun(text: string, character: string): number {
  return Math.max(
    0,
    ...[...text.matchAll(new RegExp(`${character}+`, "g"))].map(([run]) => run.length),
  );
}

/** Cuts a text into parts of at most `longest` characters, at ends of lines where there are some. */
export function chunks(text: string, longest = LONGEST): string[] {
  const found: string[] = [];
  let start = 0;
  while (text.length - start > longest) {
    const line = text.lastIndexOf("\n", start + longest - 1) + 1;
    let stop = line > start ? line : start + longest;
    if (/[\ud800-\udbff]/.test(text[stop - 1]!)) stop--;
    found.push(text.slice(start, stop));
    start = stop;
  }
  found.push(text.slice(start));
  return found;
}

function messageRows(message: Message, turn: number | null): Row[] {
  const blocks: [Row["kind"], string, string][] = [];
  const reasoning = words(message.reasoning_content);
  const content = words(message.content);
  if (reasoning) blocks.push(["reasoning", "", reasoning]);
  if (content) blocks.push(["text", "", content]);
  for (const call of message.tool_calls ?? []) {
    blocks.push(["call", call.function?.name ?? "", words(call.function?.arguments)]);
  }
  if (blocks.length === 0) blocks.push(["nothing", "", ""]);
  const rows = blocks.flatMap(([kind, name, text]) =>
    chunks(text).map((part) => ({ kind, name, text: part })),
  );
  return rows.map((row, at) => ({
    ...row,
    role: message.role,
    turn,
    begins: null,
    head: at === 0,
  }));
}

/** Content as text: a string, or parts of which those that are no text are named. */
export function words(content: unknown): string {
  if (content === null || content === undefined) return "";
  if (typeof content === "string") return content;
  if (!Array.isArray(content)) return JSON.stringify(content);
  return content.map((part) => part?.text ?? `[${String(part?.type ?? "part")}]`).join("\n");
}
