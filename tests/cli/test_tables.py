"""Tables for the terminal, from estimates and data frames."""

import polars as pl

from interp.cli.tables import drop_zero_columns, estimates_table, join_interval, most_certain
from interp.stats import Estimate


def test_estimates_stand_in_columns_with_their_intervals():
    rows = [(["deep", 10], {"pass_rate": Estimate(0.5, 0.4, 0.6, 20)}), (["all", 10], {"pass_rate": Estimate(0.25)})]
    assert estimates_table(["level", "step"], rows, ["pass_rate"]).splitlines() == [
        "level  step          pass rate",
        "-----  ----  -----------------",
        "deep     10  0.50 [0.40, 0.60]",
        "all      10               0.25",
    ]


def test_an_interval_is_joined_to_its_value_and_a_missing_one_is_left_out():
    frame = pl.DataFrame({"change": [0.5, 0.25, None], "low": [0.4, None, None], "high": [0.6, None, None]})
    joined = join_interval(frame, "change", spec="+.1f")
    assert joined.columns == ["change"] and joined["change"].to_list() == ["+0.5 [+0.4, +0.6]", "+0.2", "-"]


def test_counts_that_are_zero_everywhere_have_no_column():
    frame = pl.DataFrame({"bucket": ["easy", "hard"], "strengthened": [0, 2], "weakened": [0, 0]})
    assert drop_zero_columns(frame, ["strengthened", "weakened", "unknown"]).columns == ["bucket", "strengthened"]


def test_the_most_certain_rows_have_the_smallest_q_of_each_verdict_in_each_bucket():
    rows = [("easy", 1, "weakened", 0.03), ("easy", 2, "weakened", 0.01), ("easy", 3, "undecided", 0.0)]
    rows += [("hard", 4, "strengthened", 0.04), ("hard", 5, "weakened", 0.02)]
    frame = pl.DataFrame(rows, schema=["bucket", "latent", "verdict", "q"], orient="row")
    assert most_certain(frame, ["strengthened", "weakened"], 1)["latent"].to_list() == [2, 4, 5]
