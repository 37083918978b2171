// The views, in the order of the navigation.
import type { FunctionComponent } from "preact";
import type { Report } from "./data";
import { CompareView } from "./views/compare";
import { FeatureView } from "./views/feature";
import { FeaturesView } from "./views/features";
import { NotesView } from "./views/notes";
import { OverviewView } from "./views/overview";
import { RolloutsView } from "./views/rollouts";

export interface View {
  v: string;
  title: string;
  View: FunctionComponent<{ report: Report }>;
}

export const VIEWS: readonly View[] = [
  { v: "overview", title: "Overview", View: OverviewView },
  { v: "features", title: "Features", View: FeaturesView },
  { v: "feature", title: "Feature", View: FeatureView },
  { v: "rollouts", title: "Rollouts", View: RolloutsView },
  { v: "compare", title: "Compare", View: CompareView },
  { v: "notes", title: "Names and notes", View: NotesView },
];

export const viewOf = (v: string): View => VIEWS.find((view) => view.v === v) ?? VIEWS[0];
