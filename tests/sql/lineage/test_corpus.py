"""Each statement of tests/corpora/lineage.yaml has the labels that it says."""

from __future__ import annotations

import pytest
from support.lineage import Case, load, shown_outputs, shown_uses, word

from gateway.sql import analyse
from gateway.sql.lineage import labels_of

CORPUS = load()
LABELLED = CORPUS.catalogue()
ORDER = "".join(CORPUS.labels)


def test_it_is_well_formed() -> None:
    assert len(CORPUS.cases) >= 200
    assert len({case.sql for case in CORPUS.cases}) == len(CORPUS.cases)
    assert all(case.why for case in CORPUS.cases)


@pytest.mark.parametrize("case", CORPUS.cases, ids=lambda case: case.sql[:80])
def test_labels(case: Case) -> None:
    analysis = analyse(case.sql)
    [statement] = analysis.statements
    lineage = statement.lineage
    assert lineage is not None
    assert shown_outputs(lineage, LABELLED, ORDER) == case.outputs, case.why
    assert word(labels_of(lineage.writes, LABELLED), ORDER).strip("-") == case.writes, case.why
    assert sorted(shown_uses(lineage, LABELLED, ORDER)) == sorted(case.uses), case.why
