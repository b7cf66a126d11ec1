import "./base.css";
import "./parts/parts.css";
import "./parts/values.css";
import "./parts/list.css";
import "./parts/lens.css";
import "./parts/forked.css";
import "./parts/share.css"; // all before those of the panels, which say what is different there
import { render } from "preact";
import { listen } from "./model/keys";
import { takeToken } from "./model/owner";
import { file, openFile } from "./model/shared";
import { Shell } from "./shell";
import { begin } from "./model/state";

await openFile();
if (!file) {
  takeToken();
  // An address that differs from this one by its fragment loads nothing anew.
  addEventListener("hashchange", () => takeToken() && location.reload());
}
begin();
listen();
render(<Shell />, document.getElementById("app")!);
