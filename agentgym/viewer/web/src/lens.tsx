// Which estimator is asked: any one, less another one, with any shaping.

import type { JSX } from "preact";
import { look, query } from "./state";

const FIELDS = [
  ["credit", "credit", "trained"],
  ["minus", "less", "grpo"],
  ["shaping", "shaping", "trained"],
] as const;

/** `label` is what the answer says of itself. */
export function Asking({ label }: { label: string | null }): JSX.Element {
  const take = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    look(Object.fromEntries(FIELDS.map(([name]) => [name, String(given.get(name) ?? "")])), true);
  };
  return (
    <form class="asking" onSubmit={take}>
      {FIELDS.map(([name, words, example]) => (
        <label>
          {words}{" "}
          <input
            name={name}
            spellcheck={false}
            size={14}
            placeholder={example}
            value={query.value[name] ?? ""}
            onChange={(event) => event.currentTarget.form?.requestSubmit()}
          />
        </label>
      ))}
      <span class="quiet">{label && `shown: ${label}`}</span>
    </form>
  );
}
