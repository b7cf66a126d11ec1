import "./app.css";
import { render } from "preact";
import { listen } from "./keys";
import { Shell } from "./shell";
import { begin } from "./state";

begin();
listen();
render(<Shell />, document.getElementById("app")!);
