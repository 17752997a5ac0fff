"""Which settings a session may change without undermining the gateway.

A setting that isn't listed here is unsafe: also one of an extension, and one that a policy of the target may read
(``SET app.user = ...`` decides who a row security policy takes the caller for).
"""

from __future__ import annotations

import re
from typing import Final

_HARMLESS: Final = frozenset(
    """
    application_name array_nulls backend_flush_after bytea_output check_function_bodies
    client_connection_check_interval client_min_messages commit_siblings constraint_exclusion
    cpu_index_tuple_cost cpu_operator_cost cpu_tuple_cost cursor_tuple_fraction datestyle
    default_statistics_target default_table_access_method default_tablespace default_text_search_config
    default_toast_compression default_transaction_deferrable default_transaction_isolation
    default_transaction_read_only effective_cache_size effective_io_concurrency enable_async_append
    enable_bitmapscan enable_gathermerge enable_group_by_reordering enable_hashagg enable_hashjoin
    enable_incremental_sort enable_indexonlyscan enable_indexscan enable_material enable_memoize
    enable_mergejoin enable_nestloop enable_parallel_append enable_parallel_hash enable_partition_pruning
    enable_partitionwise_aggregate enable_partitionwise_join enable_presorted_aggregate enable_seqscan
    enable_sort enable_tidscan escape_string_warning extra_float_digits force_parallel_mode
    debug_parallel_query from_collapse_limit geqo geqo_effort geqo_generations geqo_pool_size geqo_seed
    geqo_selection_bias geqo_threshold gin_fuzzy_search_limit gin_pending_list_limit hash_mem_multiplier
    icu_validation_level idle_in_transaction_session_timeout idle_session_timeout intervalstyle jit
    jit_above_cost jit_expressions jit_inline_above_cost jit_optimize_above_cost jit_tuple_deforming
    join_collapse_limit lc_monetary lc_numeric lc_time lock_timeout logical_decoding_work_mem
    maintenance_io_concurrency maintenance_work_mem max_parallel_maintenance_workers max_parallel_workers
    max_parallel_workers_per_gather min_parallel_index_scan_size min_parallel_table_scan_size
    parallel_leader_participation parallel_setup_cost parallel_tuple_cost plan_cache_mode
    quote_all_identifiers random_page_cost recursive_worktable_factor restrict_nonsystem_relation_kind
    row_security search_path seed seq_page_cost statement_timeout stats_fetch_consistency
    synchronize_seqscans synchronous_commit temp_buffers temp_tablespaces timezone timezone_abbreviations
    trace_notify trace_sort transaction transaction_deferrable transaction_isolation transaction_read_only
    transaction_timeout vacuum_buffer_usage_limit vacuum_cost_delay vacuum_cost_limit work_mem
    wal_skip_threshold xmlbinary xmloption
""".split()
) | {"session characteristics", "transaction snapshot"}
# search_path and row_security belong here because nothing relies on them: an unqualified name stands for all
# relations and overloads of that name, and row_security = off turns a filtered answer into an error. Read-only
# defaults too: BEGIN READ WRITE does the same, the target's privileges are what counts.

_STEERING: Final = re.compile(
    r"enable_.*|.*_cost|geqo.*|(from|join)_collapse_limit|cursor_tuple_fraction|plan_cache_mode|constraint_exclusion"
    r"|effective_cache_size|recursive_worktable_factor|hash_mem_multiplier|(debug|force)_parallel_(query|mode)"
)


def steers(name: str) -> bool:
    """Whether the setting chooses plans: without ORDER BY a plan may give rows in the order of a hidden column."""
    return _STEERING.fullmatch(name.lower()) is not None


_ROLES: Final = frozenset({"role", "session_authorization"})

_ONLY: Final = {
    # off: the server runs what the parser sees as one literal.
    "standard_conforming_strings": frozenset({"on", "true", "yes", "1"}),
    # Other encodings hide quotes and backslashes in multi-byte characters; SQL_ASCII means no conversion at all.
    "client_encoding": frozenset({"utf8", "unicode", "sqlascii"}),
}


def verb_of(name: str, value: str | None) -> str:
    """``set``, ``set_role`` or ``set_unsafe`` for a setting that gets ``value`` (None: not one known constant)."""
    name = name.lower()
    if name in _HARMLESS:
        return "set"
    if name in _ROLES:
        return "set_role"
    if value is not None:
        value = value.lower()
        if name == "client_encoding":
            # Encodings are known by their letters and digits (encnames.c, clean_encoding_name); asyncpg asks for
            # 'utf-8' with the quotes.
            value = re.sub("[^a-z0-9]", "", value)
        if value in _ONLY.get(name, ()):
            return "set"
    return "set_unsafe"


def verb_of_reset(name: str) -> str:
    """The same for RESET and SET ... TO DEFAULT, which bring back what the session began with."""
    return verb_of(name, None)
