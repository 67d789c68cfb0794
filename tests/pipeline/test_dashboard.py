"""The page says what the reports say, on every target, and whatever the rows hold."""

import json
from typing import TYPE_CHECKING

from ingestion.dashboard import reads

if TYPE_CHECKING:
    from conftest import Pipeline


def test_the_exposure_names_what_the_page_reads(built: "Pipeline") -> None:
    manifest = json.loads((built.folder / "target" / "manifest.json").read_bytes())
    nodes = manifest["exposures"]["exposure.pinterest.dashboard"]["depends_on"]["nodes"]

    named = {node.split(".")[-1] for node in nodes}

    assert named == {read.report for read in reads()} | {"age_groups"}
