"""How much of values is seen on terminals behind the masks: `.venv/bin/python -m bench.terminals` writes the table of
docs/ssh.md. Seeded (tests/support/terminals); a test compares the page with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
sys.path.insert(0, str(REPOSITORY / "tests"))

from support.terminals import table  # noqa: E402  # the ways are the tests'

PAGE = REPOSITORY / "docs" / "ssh.md"
BEGIN, END = "<!-- terminals: made by bench/terminals.py -->", "<!-- end of terminals -->"


def main() -> None:
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text("\n".join([before + BEGIN, "", *table(), "", END + after]), "utf-8")


if __name__ == "__main__":
    main()
