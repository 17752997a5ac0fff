"""Masking: values that a caller may not see are rewritten before they leave the gateway. Pure.

fields      `Field`, and RowDescription into fields
provenance  which labels a result column carries (postgres.md, Masking 1 and 2)
methods     what a method makes of a value of each type, with which keys
keyed       what hmac makes of it
cells       what methods and detection do inside values of each type, in both formats
searching   detection on rows, many cells at once
plan        `plan_row`: fields, methods and detection -> `RowMask`
detectors   values found in text: patterns, check digits, context words
spans       what was found, without overlaps
detection   what is searched for, for one principal on one target
rows        the fast half: skip messages, rewrite cells; compiled with Cython where rows.pxd says so
copying     rows of COPY ... TO STDOUT, as if they were rows of a query
guard       operations that would carry values past the mask
inference   operations that would tell hidden values without showing them
probes      how many hidden values are compared, and may be
reports     errors and notices without values

The way of one operation: `guard` before it is forwarded; at RowDescription (or a portal's formats) `result_labels` and
the policy's strictest method for each column make the plan; `RowMask.apply` on its rows; `withhold` on its reports.
"""

from gateway.masking.copying import CopyMask
from gateway.masking.detection import Detection, detection
from gateway.masking.fields import Field, parse_row_description
from gateway.masking.guard import guard, unmaskable, unsearchable
from gateway.masking.inference import masked_for_you
from gateway.masking.methods import NO_KEYS, Keyring, Maker, Vault, cell_for, text_maker
from gateway.masking.plan import RowMask, plan_row
from gateway.masking.probes import ProbeLimit, probes
from gateway.masking.provenance import LabelledColumns, field_labels, is_known, result_labels
from gateway.masking.reports import searched, withhold
from gateway.masking.rows import COMPILED, next_message, skip_rows

__all__ = [
    "COMPILED",
    "NO_KEYS",
    "CopyMask",
    "Detection",
    "Field",
    "Keyring",
    "LabelledColumns",
    "Maker",
    "ProbeLimit",
    "RowMask",
    "Vault",
    "cell_for",
    "detection",
    "field_labels",
    "guard",
    "is_known",
    "masked_for_you",
    "next_message",
    "parse_row_description",
    "plan_row",
    "probes",
    "result_labels",
    "searched",
    "skip_rows",
    "text_maker",
    "unmaskable",
    "unsearchable",
    "withhold",
]
