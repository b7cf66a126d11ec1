// A person plays on in an episode, message by message.

import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { JSX } from "preact";
import { Text } from "../parts/parts";
import { roleClass, words } from "../model/rows";
import type { Fork, ForkAsked } from "../model/types";

export function ByHand({
  fork,
  say,
}: {
  fork: Fork;
  /** Says whether it was taken. */
  say: (text: string) => Promise<boolean>;
}): JSX.Element {
  const field = useRef<HTMLTextAreaElement>(null);
  const text = useSignal("");
  const { asked } = fork;
  useEffect(() => {
    if (!asked) return;
    field.current?.focus();
    field.current?.scrollIntoView({ block: "nearest" });
  }, [asked?.turn]);
  const last = useRef("");
  useEffect(() => {
    if (fork.refused && !text.value) text.value = last.current;
  }, [fork.refused]);
  const send = async (event: Event) => {
    event.preventDefault();
    if (!asked) return;
    last.current = text.value;
    text.value = "";
    if (!(await say(last.current)) && !text.value) text.value = last.current;
  };
  return (
    <div class="by-hand">
      {fork.talk.map((each) => (
        <Turn asked={each} said={each.said} />
      ))}
      {asked ? <Turn asked={asked} /> : <p class="quiet">The environment answers.</p>}
      {fork.refused && (
        <p class="bad" role="alert">
          <Text text={fork.refused} />
        </p>
      )}
      <form onSubmit={(event) => void send(event)}>
        {asked && asked.tools.length > 0 && (
          <Tools tools={asked.tools} insert={(call) => (text.value += call)} />
        )}
        <textarea
          ref={field}
          aria-label={`the message of turn ${asked?.turn ?? ""}`}
          rows={3}
          value={text.value}
          spellcheck={false}
          onInput={(event) => (text.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) void send(event);
          }}
        />
        <button type="submit" disabled={!asked} title="Ctrl and Enter">
          say
        </button>
      </form>
    </div>
  );
}

function Turn({ asked, said }: { asked: ForkAsked; said?: string }): JSX.Element {
  return (
    <>
      {asked.messages.map((message) => (
        <div class={`spoken ${roleClass(message.role)}`}>
          <span class="quiet">{message.role}</span>
          <pre>
            <Text text={words(message.content)} />
          </pre>
        </div>
      ))}
      {said !== undefined && (
        <div class="spoken role-assistant">
          <span class="turn num">{asked.turn}</span>
          <pre>
            <Text text={said} />
          </pre>
        </div>
      )}
    </>
  );
}

function Tools({
  tools,
  insert,
}: {
  tools: ForkAsked["tools"];
  insert: (call: string) => void;
}): JSX.Element {
  return (
    <span class="tools">
      <span class="quiet">call</span>
      {tools.map((tool) => (
        <button
          type="button"
          title={tool.description ?? ""}
          onClick={() => insert(`<tool_call>\n${template(tool)}\n</tool_call>`)}
        >
          <Text text={tool.name} />
        </button>
      ))}
    </span>
  );
}

/** A call with a place for each argument. */
export function template({ name, parameters }: ForkAsked["tools"][number]): string {
  const properties = parameters?.["properties"];
  const names = properties && typeof properties === "object" ? Object.keys(properties) : [];
  return JSON.stringify({ name, arguments: Object.fromEntries(names.map((each) => [each, ""])) });
}
