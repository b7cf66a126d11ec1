// Two runs, task by task.

import type { JSX } from "preact";
import { Quiet } from "./parts";

export function Compare({ a, b }: { a: string; b: string }): JSX.Element {
  return (
    <Quiet>{`The comparison of ${a} and ${b} is not shown yet; agentgym compare prints it.`}</Quiet>
  );
}
