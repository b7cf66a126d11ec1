import "./app.css";
import { render } from "preact";
import { listen } from "./keys";
import { openFile } from "./shared";
import { Shell } from "./shell";
import { begin } from "./state";

await openFile();
begin();
listen();
render(<Shell />, document.getElementById("app")!);
