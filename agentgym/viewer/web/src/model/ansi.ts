// Text of programs and models as spans: colours of terminals become classes, every other control
// character a symbol that can be seen. Nothing in it can do anything.

export interface Span {
  text: string;
  /** Classes, separated by spaces; "" for plain text. */
  style: string;
}

const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
const ESCAPE = /\x1b(?:\[([0-9;:?<=>]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;

/** Takes a text apart; the texts of the spans are the text without its sequences, made visible. */
export function parseAnsi(text: string): Span[] {
  if (!text.includes("\x1b")) return text ? [{ text: visible(text), style: "" }] : [];
  const spans: Span[] = [];
  const pen = new Pen();
  let start = 0;
  const add = (stop: number) => {
    if (stop > start) spans.push({ text: visible(text.slice(start, stop)), style: pen.style });
  };
  for (const match of text.matchAll(ESCAPE)) {
    add(match.index);
    start = match.index + match[0].length;
    if (match[2] === "m") pen.take(match[1] ?? "");
  }
  add(text.length);
  return spans;
}

/** Shows control characters and those that turn the direction of text; newlines and tabs stay. */
export function visible(text: string): string {
  return text.replace(
    /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    symbol,
  );
}

function symbol(character: string): string {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u27e8${code.toString(16).toUpperCase().padStart(4, "0")}\u27e9`;
}

class Pen {
  private colour = "";
  private readonly marks = new Set<string>();

  get style(): string {
    return [this.colour && `ansi-${this.colour}`, ...this.marks].filter(Boolean).join(" ");
  }

  take(parameters: string): void {
    const codes = parameters.split(/[;:]/).map(Number);
    for (let at = 0; at < codes.length; at++) {
      const code = codes[at]!;
      if (code === 38 || code === 48) at += codes[at + 1] === 5 ? 2 : 4;
      else this.change(code);
    }
  }

  private change(code: number): void {
    if (code === 0) {
      this.colour = "";
      this.marks.clear();
    } else if (code === 1) this.marks.add("ansi-bold");
    else if (code === 2) this.marks.add("ansi-dim");
    else if (code === 3) this.marks.add("ansi-italic");
    else if (code === 4) this.marks.add("ansi-underline");
    else if (code === 22) ["ansi-bold", "ansi-dim"].forEach((mark) => this.marks.delete(mark));
    else if (code === 39) this.colour = "";
    else if (code >= 30 && code <= 37) this.colour = NAMES[code - 30]!;
    else if (code >= 90 && code <= 97) this.colour = NAMES[code - 90]!;
  }
}
