// Numbers and times as they are shown.

/** A number with about `digits` figures that tell something; "–" for none. */
export function number(value: number | null | undefined, digits = 3): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (Number.isInteger(value) && Math.abs(value) < 1e6) return minus(String(value));
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return minus(value.toExponential(Math.max(0, digits - 2)));
  const text = value.toPrecision(digits);
  return minus(text.includes("e") ? value.toFixed(0) : text); // rounded up to one figure more, too
}

/** A number with its sign. */
export function signed(value: number | null | undefined): string {
  const text = number(value);
  return value !== null && value !== undefined && value > 0 ? `+${text}` : text;
}

/** A reward as cells show it: two decimals, so that columns align. */
export function cell(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return Math.abs(value) < 1000 ? minus(value.toFixed(2)) : number(value, 2);
}

const inThousands = new Intl.NumberFormat("en-US"); // dear to make

/** 12,345 */
export function count(value: number | null | undefined): string {
  return value === null || value === undefined ? "–" : inThousands.format(value);
}

/** 3 episodes, 1 episode */
export function counted(value: number, what: string): string {
  return `${count(value)} ${what}${value === 1 ? "" : "s"}`;
}

export function share(value: number | null | undefined): string {
  return value === null || value === undefined || !Number.isFinite(value)
    ? "–"
    : `${(value * 100).toFixed(1)}%`;
}

export function seconds(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (value < 0.9995) return `${Math.round(value * 1000)} ms`;
  if (value < 120) return `${value.toFixed(1)} s`;
  return value < 7200 ? `${Math.round(value / 60)} min` : `${(value / 3600).toFixed(1)} h`;
}

/** 2026-01-02 03:04, in the time of the record. */
export function when(text: string | null | undefined): string {
  return text ? text.slice(0, 16).replace("T", " ") : "–";
}

/** The text of one token, with what has no ink made visible. */
export function piece(text: string | null): string {
  if (text === null) return "�";
  return text.replace(/\n/g, "↵\n").replace(/\t/g, "⇥\t");
}

function minus(text: string): string {
  return text.replace(/^-/, "−").replace("e-", "e−").replace("e+", "e");
}
