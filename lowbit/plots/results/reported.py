"""What papers report, and our runs beside it."""

import numpy as np
import pandas as pd
from IPython.display import Markdown

from lowbit import paths
from lowbit.plots.markdown import over_seeds, table
from lowbit.studies import comparisons
from lowbit.studies.spec import RunSpec

MATCHED = {"cell": "model", "quantizer": "quantizer", "norm": "norm"}  # columns of our runs and of reported values


def reported() -> pd.DataFrame:
    """All reported scores; recalled values carry a dagger."""
    files = [file for file in sorted(paths.reported().glob("*.csv")) if "hardware" not in file.name]
    texts = dict.fromkeys(("value", "dataset", "quantizer", "norm"), str)
    frame = pd.concat([pd.read_csv(file, dtype=texts) for file in files], ignore_index=True)
    frame["printed"] = frame["value"] + frame["status"].map({"recalled": "†", "verified": ""})
    frame["value"] = frame["value"].astype(float)
    return frame


def comparable(spec: RunSpec) -> pd.DataFrame:
    """The reported scores of a spec's dataset in the unit of its score."""
    frame = reported()
    return frame[(frame["dataset"] == spec.dataset) & (frame["metric"] == spec.data.metric.name)]


def beside(spec: RunSpec, frame: pd.DataFrame) -> Markdown:
    """Reported values of the spec's dataset beside ours of the same cell, quantizer and norm, where we have some.

    Ours are runs of a plain recipe, changed in its units alone; of several sizes the nearest to the reported one.
    """
    published = comparable(spec)
    if published.empty:
        return Markdown("No paper that we compare with reports a result on these data.")
    plain = comparisons.ranked(frame)
    plain = plain[plain["budget"].str.fullmatch(r"\w+(\(hidden=\d+\))?") & (plain["activations"] == "full")]
    plain = plain[plain["quantized"] == "input+recurrent"]
    rows = []
    for _, row in published.iterrows():
        same = plain[np.logical_and.reduce([plain[ours] == row[theirs] for ours, theirs in MATCHED.items()])]
        if len(same) and pd.notna(row["hidden"]):
            same = same[same["hidden"] == min(same["hidden"], key=lambda units: abs(units - row["hidden"]))]
        same = same[same["hidden"] == same["hidden"].max()]
        rows.append(
            {
                "paper": f"{{cite}}`{row['paper']}`",
                "method": row["method"],
                "units": "–" if pd.isna(row["hidden"]) else str(int(row["hidden"])),
                "reported": row["printed"],
                "ours, deployed": over_seeds(same["deployed"]) if len(same) else "–",
                "our units": str(same["hidden"].iloc[0]) if len(same) else "–",
                "seeds": str(len(same) or "–"),
                "unit": row["unit"],
            }
        )
    return Markdown(table(rows) + "\n\n† recalled from the paper, not verified.")
