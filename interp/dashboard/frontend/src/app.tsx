// The page around the views: title, navigation, keys, theme, help, and what the report left out.
import { Component, type ComponentChildren } from "preact";
import { useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { AddressContext, AddressStore, linkTo, parseAddress, useAddress } from "./address";
import { ReportContext, useReport, type Report } from "./data";
import { Help, LeftOut } from "./dialogs";
import { focusedIn } from "./focus";
import { KeyContext, KeyStore, useKeys } from "./keys";
import { useTheme } from "./theme";
import { plural } from "./text";
import { readable } from "./tokens";
import { SCHEMA, type Index } from "./types";
import { VIEWS, viewOf } from "./views";

/** Why a report cannot be shown, as a sentence; "" if it can. */
export function refusal(index: Index | null | undefined): string {
  if (!index || typeof index !== "object")
    return "This page holds no report. Make it again with: interp dashboard RESULTS --out report.html";
  if (index.schema === SCHEMA) return "";
  const writer = index.made?.version ? `interp ${index.made.version}` : "an unknown version of interp";
  return (
    `This report has schema ${index.schema} and was written by ${writer}; this page reads schema ${SCHEMA}. ` +
    "Make the report again with the version of interp that shows it: interp dashboard RESULTS --out report.html"
  );
}

export function App({ report }: { report: Report }) {
  const address = useMemo(() => new AddressStore(report.isStatic, report.index?.start), [report]);
  const keys = useMemo(() => new KeyStore(), [report]);
  const root = useRef<HTMLDivElement>(null);
  const [theme, setTheme] = useTheme(report.isStatic);
  useEffect(() => () => address.close(), [address]);
  useEffect(() => {
    // A page of its own listens everywhere; a widget only to keys inside itself, and keeps them from the notebook.
    const target: Document | HTMLElement = report.isStatic ? document : root.current!;
    target.addEventListener("keydown", keys.handle as EventListener);
    return () => target.removeEventListener("keydown", keys.handle as EventListener);
  }, [keys]);

  const follow = (event: MouseEvent) => {
    const link = (event.target as HTMLElement).closest?.("a");
    const hash = link?.getAttribute("href");
    if (!hash?.startsWith("#v=") || event.defaultPrevented) return;
    if (report.isStatic && (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0)) return;
    event.preventDefault();
    address.go(parseAddress(hash));
  };
  const problem = refusal(report.index);
  return (
    <div
      ref={root}
      class={`interp ${report.isStatic ? "page" : "widget"}`}
      data-theme={theme.shown}
      data-lm-suppress-shortcuts={report.isStatic ? undefined : "true"}
      lang="en"
      onClick={follow}
    >
      {problem ? (
        <main class="refusal">
          <h1>{report.index?.title || "interp"}</h1>
          <p role="alert">{problem}</p>
        </main>
      ) : (
        <ReportContext.Provider value={report}>
          <AddressContext.Provider value={address}>
            <KeyContext.Provider value={keys}>
              <Page theme={theme.choice} onTheme={setTheme} />
            </KeyContext.Provider>
          </AddressContext.Provider>
        </ReportContext.Provider>
      )}
    </div>
  );
}

const THEMES = ["auto", "light", "dark"] as const;

function Page({ theme, onTheme }: { theme: (typeof THEMES)[number]; onTheme: (theme: (typeof THEMES)[number]) => void }) {
  const report = useReport();
  const { index } = report;
  const [address, go] = useAddress();
  const store = useContext(AddressContext);
  const main = useRef<HTMLElement>(null);
  const [dialog, setDialog] = useState<"" | "help" | "left out">("");
  const view = viewOf(address.v);
  const first = useRef(true);
  const searching = useRef(false);

  const search = () => {
    const field = main.current!.querySelector<HTMLInputElement>("input[data-search]");
    field?.focus();
    field?.select();
    return !!field;
  };
  useKeys({
    "/": () => {
      if (search()) return;
      searching.current = true;
      go({ v: index.features ? "features" : "rollouts" });
    },
    "?": () => setDialog("help"),
    Escape: () => focusedIn(main.current!)?.blur(),
  });
  useLayoutEffect(() => {
    if (report.isStatic) document.title = `${index.title} · ${view.title}`;
    if (searching.current) search();
    else if (!first.current) {
      main.current!.focus({ preventScroll: true });
      if (!store.returned) toTop(main.current!);
    }
    first.current = false;
    searching.current = false;
  }, [view.v]);

  return (
    <>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault();
          main.current!.focus();
        }}
      >
        Skip to the content
      </a>
      <header class="top">
        <div class="title">
          <h1 title={readable(index.title)}>{readable(index.title)}</h1>
        </div>
        <nav aria-label="Views">
          {VIEWS.filter((each) => each.v !== "feature" || address.f !== undefined).map((each) => (
            <a
              key={each.v}
              href={linkTo({ v: each.v, f: address.f, ...(each.v === "rollouts" ? { r: address.r } : {}) })}
              aria-current={each.v === view.v ? "page" : undefined}
            >
              {each.v === "feature" ? `Latent ${address.f}` : each.title}
            </a>
          ))}
        </nav>
        <div class="switches">
          {index.left_out.length > 0 && (
            <button type="button" class="quiet" onClick={() => setDialog("left out")}>
              {plural(index.left_out.length, "thing")} left out
            </button>
          )}
          <label class="theme">
            <span class="sr-only">Theme</span>
            <select value={theme} onChange={(event) => onTheme(event.currentTarget.value as typeof theme)}>
              {THEMES.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <button type="button" class="quiet" aria-label="Help and keys" onClick={() => setDialog("help")}>
            ?
          </button>
        </div>
      </header>
      <main ref={main} id="main" tabIndex={-1} data-view={view.v}>
        <Boundary key={view.v}>
          <view.View report={report} />
        </Boundary>
      </main>
      <footer class="bottom muted">
        Made by interp {index.made.version} on {index.made.date}. Nothing on this page asks the network for anything.
      </footer>
      {dialog === "help" && <Help onClose={() => setDialog("")} />}
      {dialog === "left out" && <LeftOut onClose={() => setDialog("")} />}
    </>
  );
}

/** The page, or the widget's box, from its top. */
function toTop(main: HTMLElement): void {
  const root = main.closest<HTMLElement>(".interp")!;
  root.scrollTop = 0;
  if (root.classList.contains("page")) scrollTo(0, 0);
}

/** A view that fails says so in its place; the other views go on. */
class Boundary extends Component<{ children: ComponentChildren }, { error: Error | null }> {
  override state = { error: null as Error | null };
  static override getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    const { error } = this.state;
    if (!error) return this.props.children;
    return (
      <section>
        <h2>This view cannot be shown</h2>
        <p role="alert">{error.message}</p>
      </section>
    );
  }
}
