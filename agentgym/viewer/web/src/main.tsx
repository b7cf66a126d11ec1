import "./base.css";
import { render } from "preact";
import { listen } from "./model/keys";
import { openFile } from "./model/shared";
import { Shell } from "./shell";
import { begin } from "./model/state";

await openFile();
begin();
listen();
render(<Shell />, document.getElementById("app")!);
