// A page that is a file: it has the answers in itself, and needs no server.

import { encodePart, inFragments } from "./address";

export type Query = Readonly<Record<string, string | number | undefined>>;

export interface SharedFile {
  /** The address that it opens at. */
  page: string;
  /** Estimators that can be asked, besides what was trained on. */
  credits: string[];
  /** By canonical address without the words of `CUTS`: JSON, or bytes as base64. */
  answers: Record<string, unknown>;
}

/** The file that this page is; null: a server is behind it. */
export let file: SharedFile | null = null;

/** Reads the file out of the page, if it is one. */
export async function openFile(): Promise<void> {
  const text = document.getElementById("shared")?.textContent;
  if (!text) return;
  const unpacked = new Response(bytes(text)).body!.pipeThrough(new DecompressionStream("gzip"));
  file = (await new Response(unpacked).json()) as SharedFile;
  inFragments();
}

/** The one form of an address of the server; `share.py` writes the same. */
export function canonical(path: string, query: Query): string {
  const words = Object.entries(query)
    .filter(([, value]) => value !== undefined && value !== "")
    .map(([key, value]) => `${encodePart(key)}=${encodePart(String(value))}`)
    .sort();
  return words.length ? `${path}?${words.join("&")}` : path;
}

/** Answers as the server would. */
export function answerFrom(from: SharedFile, path: string, query: Query): Response {
  const kind = path.slice(path.lastIndexOf("/") + 1);
  const rest = Object.entries(query).filter(([word]) => !CUTS[kind]?.words.includes(word));
  const address = canonical(path, Object.fromEntries(rest));
  if (!Object.hasOwn(from.answers, address)) {
    console.warn(`not in this file: ${address}`);
    return Response.json({ error: "this is not in the file", hint: HINT }, { status: 404 });
  }
  const whole = from.answers[address];
  if (Object.hasOwn(Object(whole), "error")) return Response.json(whole, { status: 400 });
  return CUTS[kind] ? CUTS[kind].cut(whole, query) : Response.json(whole);
}

const HINT = "what it has was chosen when it was made: agentgym export RUN --html";

interface Cut {
  /** What of the whole is asked. */
  words: readonly string[];
  cut: (whole: unknown, query: Query) => Response;
}

/** Of these the file has the whole, of which a question asks a part. */
const CUTS: Record<string, Cut> = {
  columns: { words: ["names"], cut: (whole) => new Response(bytes(whole as string)) },
  advantages: { words: [], cut: (whole) => new Response(bytes(whole as string)) },
  pieces: { words: ["first", "stop"], cut: ofTokens("pieces") },
  truth: { words: ["first", "stop"], cut: ofTokens("truth") },
  panels: {
    words: ["offset", "limit"],
    cut: (whole, { offset = 0, limit }) => {
      const all = whole as { total: number; rows: unknown[] };
      const rows = all.rows.slice(Number(offset), Number(offset) + Number(limit));
      return Response.json({ ...all, rows });
    },
  },
  why: {
    words: ["token"],
    cut: (whole, { token = 0 }) => {
      const { answers, tokens } = whole as { answers: unknown[]; tokens: number[] };
      return Response.json(answers[tokens[Number(token)]!]);
    },
  },
};

/** Cuts what is told of each token of a segment. */
function ofTokens(what: string): Cut["cut"] {
  return (whole, { first = 0, stop }) => {
    const all = whole as Record<string, unknown[] | null>;
    return Response.json({ ...all, [what]: all[what]?.slice(Number(first), Number(stop)) ?? null });
  };
}

function bytes(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(base64), (each) => each.charCodeAt(0));
}
