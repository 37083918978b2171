// The one entry, for a static page as for a notebook: `render` draws the report of a model into an element.
import { render as draw } from "preact";
import { App } from "./app";
import { Report, type Model } from "./data";
import "./css/main.css";

/** The static page holds its index in an element; a notebook has none. */
const isStatic = (): boolean => !!document.getElementById("report-index");

export default {
  render({ model, el }: { model: Model; el: HTMLElement }): () => void {
    const page = isStatic();
    if (page) document.body.style.margin = "0";
    el.textContent = "";
    draw(<App report={new Report(model, page)} />, el);
    return () => draw(null, el);
  },
};
