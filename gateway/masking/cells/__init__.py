"""Cells: what a label's method and detection do inside values of every type, in both formats. Pure.

columns     what happens to one column: `labelled_cell`, `searched_column`
search      `Search`: a walk down to the texts in a value, whatever its type
types       type OIDs by what can stand in their values
arrays, composites, hstore, bytea, json_text, xml_text, numbers
            codecs, each cites the source that it reads; a value that doesn't parse is masked whole
json_paths  follows the paths that labels are bound to
parsing     what the codecs share

A client gets values that are valid for their types. What a codec leaves stays byte for byte.
"""

from gateway.masking.cells.columns import SearchedColumn, labelled_cell, searched_column
from gateway.masking.cells.json_paths import Paths

__all__ = ["Paths", "SearchedColumn", "labelled_cell", "searched_column"]
