from __future__ import annotations

import pytest

from gateway.sql.functions import FUNCTION_VERBS
from gateway.sql.harmless import EFFECTFUL, HARMLESS, REVEALING_FUNCTIONS


def test_nothing_is_both() -> None:
    assert not HARMLESS & EFFECTFUL
    assert not HARMLESS & REVEALING_FUNCTIONS
    assert not HARMLESS & FUNCTION_VERBS.keys()


@pytest.mark.parametrize(
    "name",
    """
    set_config nextval setval pg_notify lo_import lo_export lo_get pg_read_file pg_ls_dir pg_sleep query_to_xml
    cursor_to_xml table_to_xml schema_to_xml database_to_xml ts_stat ts_rewrite dblink dblink_exec crosstab
    pg_terminate_backend pg_cancel_backend pg_reload_conf pg_advisory_lock pg_stat_get_activity pg_stat_reset
    pg_create_logical_replication_slot pg_logical_emit_message pg_switch_wal pg_promote pg_input_is_valid
    binary_upgrade_set_next_pg_type_oid pg_export_snapshot pg_import_system_collations pg_file_write
""".split(),
)
def test_never_harmless(name: str) -> None:
    assert name not in HARMLESS


@pytest.mark.parametrize(
    "name",
    """
    count sum avg max upper lower now random coalesce_is_grammar generate_series unnest format_type pg_get_expr
    pg_get_viewdef pg_table_is_visible current_setting version pg_backend_pid obj_description array_to_string
    has_table_privilege pg_is_in_recovery jsonb_build_object to_char date_trunc row_number pg_encoding_to_char
""".split(),
)
def test_harmless(name: str) -> None:
    assert (name in HARMLESS) is (name != "coalesce_is_grammar")
