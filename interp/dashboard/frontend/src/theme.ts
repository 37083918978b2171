// Light or dark: a choice, or what the page around it (browser, JupyterLab, VS Code) says.
import { useEffect, useState } from "preact/hooks";

export type ThemeChoice = "auto" | "light" | "dark";

const KEY = "interp theme";

function surroundings(): "light" | "dark" {
  const { jpThemeLight } = document.body.dataset;
  if (jpThemeLight) return jpThemeLight === "false" ? "dark" : "light";
  const { classList } = document.body;
  if (classList.contains("vscode-dark") || classList.contains("vscode-high-contrast")) return "dark";
  if (classList.contains("vscode-light")) return "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

function stored(): ThemeChoice {
  try {
    const text = localStorage.getItem(KEY);
    return text === "light" || text === "dark" ? text : "auto";
  } catch {
    return "auto";
  }
}

export function useTheme(keep: boolean): [{ choice: ThemeChoice; shown: "light" | "dark" }, (choice: ThemeChoice) => void] {
  const [choice, setChoice] = useState<ThemeChoice>(keep ? stored : "auto");
  const [around, setAround] = useState(surroundings);
  useEffect(() => {
    const query = matchMedia("(prefers-color-scheme: dark)");
    const read = () => setAround(surroundings());
    query.addEventListener("change", read);
    const body = new MutationObserver(read);
    body.observe(document.body, { attributes: true, attributeFilter: ["class", "data-jp-theme-light"] });
    return () => {
      query.removeEventListener("change", read);
      body.disconnect();
    };
  }, []);
  const choose = (next: ThemeChoice) => {
    setChoice(next);
    if (!keep) return;
    try {
      localStorage.setItem(KEY, next);
    } catch {
      // Where the browser keeps nothing, the choice lasts until the page closes.
    }
  };
  return [{ choice, shown: choice === "auto" ? around : choice }, choose];
}
