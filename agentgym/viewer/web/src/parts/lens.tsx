// Which estimator is asked: any one, less another one, with any shaping.

import "./lens.css";
import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { file } from "../model/shared";
import { look, query } from "../model/state";

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

/** `label` is what the answer says of itself; `known` are estimators that a field proposes. */
export function Asking({
  label,
  known = [],
}: {
  label: string | null;
  known?: readonly string[];
}): JSX.Element {
  // What is typed and not yet asked: an answer that comes meanwhile must not wipe it away.
  const typed = useSignal<Record<string, string>>({});
  const take = (event: SubmitEvent & { currentTarget: HTMLFormElement }) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget);
    look(Object.fromEntries(FIELDS.map(([name]) => [name, String(given.get(name) ?? "")])), true);
    typed.value = {};
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
            list={name === "shaping" ? undefined : "estimators"}
            spellcheck={false}
            size={9}
            placeholder={example}
            value={typed.value[name] ?? query.value[name] ?? ""}
            onInput={(event) =>
              (typed.value = { ...typed.value, [name]: event.currentTarget.value })
            }
            onChange={(event) => event.currentTarget.form?.requestSubmit()}
          />
        </label>
      ))}
      <datalist id="estimators">
        {["trained", ...known].map((each) => (
          <option value={each} />
        ))}
      </datalist>
      {label && <span class="quiet">shown: {label}</span>}
    </form>
  );
}
