// Which estimator is asked: any one, less another one, with any shaping.

import type { JSX } from "preact";
import { file } from "./shared";
import { look, query } from "./state";

const FIELDS = [
  ["credit", "credit", "trained"],
  ["minus", "less", "grpo"],
  ["shaping", "shaping", "trained"],
] as const;

/** Of a file, what it can be asked: estimators that it has the answers of. */
function Given({ name, words }: { name: "credit" | "minus"; words: string }): JSX.Element {
  const first = name === "credit" ? "trained" : "nothing";
  const rest = name === "credit" ? file!.credits : ["trained", ...file!.credits];
  return (
    <label>
      {words}{" "}
      <select
        value={query.value[name] ?? ""}
        onChange={(event) => look({ [name]: event.currentTarget.value }, true)}
      >
        <option value="">{first}</option>
        {rest.map((each) => (
          <option value={each}>{each}</option>
        ))}
      </select>
    </label>
  );
}

/** `label` is what the answer says of itself. */
export function Asking({ label }: { label: string | null }): JSX.Element {
  const take = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    look(Object.fromEntries(FIELDS.map(([name]) => [name, String(given.get(name) ?? "")])), true);
  };
  if (file)
    return (
      <span class="asking">
        <Given name="credit" words="credit" />
        <Given name="minus" words="less" />
        <span class="quiet">{label && `shown: ${label}`}</span>
      </span>
    );
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
