// Places as logs, errors and the terminal name them: RUN#EPISODE/TURN/TOKEN, one word.

export interface Named {
  /** A path. */
  run: string;
  episode: string;
  turn: number | null;
  token: number | null;
}

/** Reads such a word; null where it is none. `agentgym/store/address.py` reads the same. */
export function parseNamed(text: string): Named | null {
  const [run, rest, ...more] = text.trim().split("#");
  const [episode, ...numbers] = (rest ?? "").split("/");
  if (!run || !episode || more.length > 0 || numbers.length > 2) return null;
  if (!numbers.every((each) => /^[0-9]{1,9}$/.test(each))) return null;
  const [turn, token] = numbers.map(Number);
  try {
    return {
      run: decodeURIComponent(run),
      episode: decodeURIComponent(episode),
      turn: turn ?? null,
      token: token ?? null,
    };
  } catch {
    return null;
  }
}

/** Writes such a word, so that parseNamed reads it back. */
export function printNamed({ run, episode, turn, token }: Named): string {
  const numbers = turn === null ? [] : token === null ? [turn] : [turn, token];
  return [`${quoted(run, /[%#]/)}#${quoted(episode, /[%#/]/)}`, ...numbers].join("/");
}

/** The name of the run that a path means, of those that are open: whole, or its end. */
export function runOf(
  path: string,
  runs: readonly { run: string; path: string }[],
): string | undefined {
  const end = path.replace(/^(\.?\/)+|\/+$/g, "");
  const found =
    runs.find((each) => each.path === path) ??
    runs.find((each) => each.path === end || each.path.endsWith(`/${end}`)) ??
    runs.find((each) => each.run === end.slice(end.lastIndexOf("/") + 1));
  return found?.run;
}

/** What would end the word, or mean something to a shell in which it is pasted. */
const ENDS = /[\s\p{C}\p{Z}"$&'()*;<>?[\]\\`{|}!]/u;

function quoted(text: string, special: RegExp): string {
  return [...text.toWellFormed()]
    .map((each) => (special.test(each) || ENDS.test(each) ? escaped(each) : each))
    .join("");
}

function escaped(character: string): string {
  return [...new TextEncoder().encode(character)]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`)
    .join("");
}
