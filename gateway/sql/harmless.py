"""Which of the server's own functions are known to be harmless: the shipped list of policy.md, semantics 5.

Made from pg_proc of PostgreSQL 15 and reviewed name by name; names that came or went in 13 to 18 added by hand. A
name is harmless when every overload of it is. Functions of other schemas are never harmless by their name: an
extension or anybody with CREATE can have made them.

Not on the list, and why:

* they change something: set_config, nextval, setval, pg_notify, lo_*, advisory locks, pg_terminate_backend,
  pg_reload_conf, replication slots and origins, statistics resets, pg_logical_emit_message, pg_create_restore_point
  (set_config and nextval with constants are judged by their arguments, see `gateway.sql.functions`);
* they execute text: query_to_xml and cousins, ts_stat, ts_rewrite, dblink, crosstab; pg_input_is_valid runs the
  input function of a type that a text names;
* they read files or memory: pg_read_file, pg_ls_dir, pg_stat_file, pg_hba_file_rules, pg_current_logfile;
* they show other people's statements or values: pg_stat_get_activity, pg_stat_get_backend_activity, pg_cursor,
  pg_prepared_statement, pg_mcv_list_items;
* they hold up others: pg_sleep, pg_export_snapshot;
* they are machinery that no query calls: input, output, send and receive functions, handlers, support and transition
  functions, the functions behind operators.
"""

from __future__ import annotations

from typing import Final

# Immutable: the result depends on nothing but the arguments.
_PURE: Final = """
    abbrev abs acldefault acos acosd acosh area array_agg array_append array_cat array_dims array_fill
    array_larger array_length array_lower array_ndims array_position array_positions array_prepend array_remove
    array_replace array_smaller array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand
    atanh avg bit bit_and bit_count bit_length bit_or bit_xor bitcmp bool bool_and bool_or bound_box box bpchar
    bpchar_larger bpchar_smaller bpcharcmp broadcast btarraycmp btboolcmp btbpchar_pattern_cmp btcharcmp
    btequalimage btfloat48cmp btfloat4cmp btfloat84cmp btfloat8cmp btint24cmp btint28cmp btint2cmp btint42cmp
    btint48cmp btint4cmp btint82cmp btint84cmp btint8cmp btnamecmp btnametextcmp btoidcmp btoidvectorcmp
    btrecordcmp btrecordimagecmp btrim bttext_pattern_cmp bttextcmp bttextnamecmp bttidcmp btvarstrequalimage
    byteacmp cardinality cash_cmp cash_words cashlarger cashsmaller cbrt ceil ceiling center char char_length
    character_length chr cidr circle corr cos cosd cosh cot cotd count covar_pop covar_samp cume_dist date_bin
    date_cmp date_cmp_timestamp date_larger date_part date_smaller date_trunc datemultirange daterange
    daterange_canonical daterange_subdiff decode degrees dense_rank dexp diagonal diameter div dlog1 dlog10
    dround dtrunc encode enum_cmp enum_larger enum_smaller every exp extract factorial family first_value float4
    float4larger float4smaller float8 float8larger float8smaller floor gcd generate_subscripts get_bit get_byte
    hash_aclitem hash_aclitem_extended hash_array hash_array_extended hash_multirange hash_multirange_extended
    hash_numeric hash_numeric_extended hash_range hash_range_extended hash_record hash_record_extended
    hashbpchar hashbpcharextended hashchar hashcharextended hashenum hashenumextended hashfloat4
    hashfloat4extended hashfloat8 hashfloat8extended hashinet hashinetextended hashint2 hashint2extended
    hashint4 hashint4extended hashint8 hashint8extended hashmacaddr hashmacaddr8 hashmacaddr8extended
    hashmacaddrextended hashname hashnameextended hashoid hashoidextended hashoidvector hashoidvectorextended
    hashtext hashtextextended hashtid hashtidextended height host hostmask inet_merge inet_same_family initcap
    int2 int2larger int2smaller int4 int4inc int4larger int4multirange int4range int4range_canonical
    int4range_subdiff int4smaller int8 int8dec int8dec_any int8inc int8inc_any int8inc_float8_float8 int8larger
    int8multirange int8range int8range_canonical int8range_subdiff int8smaller interval interval_cmp
    interval_hash interval_hash_extended interval_larger interval_smaller is_normalized isclosed isempty
    isfinite ishorizontal isnull isopen isparallel isperp isvertical json_array_elements
    json_array_elements_text json_array_length json_each json_each_text json_object json_object_keys
    json_strip_nulls json_typeof jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_cmp
    jsonb_each jsonb_each_text jsonb_hash jsonb_hash_extended jsonb_insert jsonb_object jsonb_object_agg
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_typeof justify_days
    justify_hours justify_interval lag last_value lcm lead left like like_escape line ln log log10 lower
    lower_inc lower_inf lpad lseg ltrim macaddr macaddr8 macaddr8_cmp macaddr8_set7bit macaddr_cmp make_date
    make_interval make_time make_timestamp makeaclitem masklen max md5 min min_scale mod mode multirange
    multirange_cmp name nameconcatoid netmask network network_cmp network_larger network_smaller normalize
    notlike npoints nth_value ntile num_nonnulls num_nulls numeric_cmp numeric_div_trunc numeric_exp numeric_inc
    numeric_larger numeric_ln numeric_log numeric_smaller numeric_sqrt nummultirange numnode numrange
    numrange_subdiff octet_length oid oidlarger oidsmaller overlaps overlay parse_ident path pclose percent_rank
    percentile_cont percentile_disc pg_encoding_max_length pg_indexam_progress_phasename pg_lsn pg_lsn_cmp
    pg_lsn_hash pg_lsn_hash_extended pg_lsn_larger pg_lsn_smaller pg_partition_root pg_size_bytes pg_size_pretty
    pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin pg_visible_in_snapshot pg_wal_lsn_diff pg_walfile_name
    pg_walfile_name_offset pi point polygon popen position pow power querytree quote_ident radians radius
    range_agg range_cmp range_contains range_intersect_agg range_merge rank regexp_count regexp_instr
    regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table
    regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    repeat replace reverse right round row_number rpad rtrim satisfies_hash_partition scale set_bit set_byte
    set_masklen setweight sha224 sha256 sha384 sha512 sign similar_escape similar_to_escape sin sind sinh slope
    split_part sqrt starts_with stddev stddev_pop stddev_samp string_agg string_to_array string_to_table strip
    strpos substr substring sum tan tand tanh text text_larger text_smaller textlen tidlarger tidsmaller
    time_cmp time_hash time_hash_extended time_larger time_smaller timestamp_cmp timestamp_cmp_date
    timestamp_hash timestamp_hash_extended timestamp_larger timestamp_smaller timestamptz_cmp timestamptz_larger
    timestamptz_smaller timetz_cmp timetz_hash timetz_hash_extended timetz_larger timetz_smaller timezone
    to_ascii to_hex translate trim_array trim_scale trunc ts_delete ts_filter ts_lexize ts_rank ts_rank_cd
    tsmultirange tsquery_cmp tsrange tsrange_subdiff tstzmultirange tstzrange tstzrange_subdiff tsvector_cmp
    tsvector_to_array txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_visible_in_snapshot unistr
    unnest upper upper_inc upper_inf uuid_cmp uuid_hash uuid_hash_extended var_pop var_samp varbit varbitcmp
    varchar variance width width_bucket xid xid8_larger xid8_smaller xid8cmp xml_is_well_formed_content
    xml_is_well_formed_document xmlagg xmlcomment xmlconcat2 xmlexists xmlvalidate xpath xpath_exists
"""

# Stable: also on settings, time zones, the catalogue of types, and the row that is given.
_SETTINGS_AND_TYPES: Final = """
    aclexplode age array_to_json array_to_string col_description concat concat_ws convert convert_from
    convert_to date enum_first enum_last enum_range format generate_series in_range json_agg json_array_element
    json_array_element_text json_build_array json_build_object json_extract_path json_extract_path_text
    json_object_agg json_object_field json_object_field_text json_populate_record json_populate_recordset
    json_to_record json_to_recordset json_to_tsvector jsonb_agg jsonb_array_element jsonb_array_element_text
    jsonb_build_array jsonb_build_object jsonb_concat jsonb_contained jsonb_contains jsonb_delete
    jsonb_delete_path jsonb_eq jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path
    jsonb_extract_path_text jsonb_ge jsonb_gt jsonb_le jsonb_lt jsonb_ne jsonb_object_field
    jsonb_object_field_text jsonb_path_exists_opr jsonb_path_exists_tz jsonb_path_match_opr jsonb_path_match_tz
    jsonb_path_query_array_tz jsonb_path_query_first_tz jsonb_path_query_tz jsonb_populate_record
    jsonb_populate_recordset jsonb_to_record jsonb_to_recordset jsonb_to_tsvector length make_timestamptz money
    mxid_age now numeric pg_collation_for pg_column_size pg_typeof phraseto_tsquery plainto_tsquery
    quote_literal quote_nullable row_to_json statement_timestamp time timestamp timestamptz timetz to_char
    to_date to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp ts_debug
    ts_headline ts_parse ts_token_type websearch_to_tsquery xml xml_is_well_formed
"""

# Tell about the database, the session or the server, never a row of a table: what psql, drivers and tools ask.
_INTROSPECTION: Final = """
    amvalidate current_database current_schema current_schemas current_setting current_user format_type
    get_current_ts_config getdatabaseencoding getpgusername has_any_column_privilege has_column_privilege
    has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
    has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege
    has_tablespace_privilege has_type_privilege inet_client_addr inet_client_port inet_server_addr
    inet_server_port obj_description oidvectortypes pg_available_extension_versions pg_available_extensions
    pg_backend_pid pg_blocking_pids pg_char_to_encoding pg_client_encoding pg_collation_actual_version
    pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_conf_load_time
    pg_conversion_is_visible pg_current_snapshot pg_current_wal_flush_lsn pg_current_wal_insert_lsn
    pg_current_wal_lsn pg_current_xact_id pg_current_xact_id_if_assigned pg_database_collation_actual_version
    pg_database_size pg_describe_object pg_encoding_to_char pg_extension_update_paths pg_filenode_relation
    pg_function_is_visible pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr
    pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments
    pg_get_function_result pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords
    pg_get_object_address pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables
    pg_get_replica_identity_index pg_get_ruledef pg_get_serial_sequence pg_get_statisticsobjdef
    pg_get_statisticsobjdef_columns pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid
    pg_get_viewdef pg_has_role pg_identify_object pg_identify_object_as_address pg_index_column_has_property
    pg_index_has_property pg_indexam_has_property pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema
    pg_is_wal_replay_paused pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn
    pg_last_wal_replay_lsn pg_last_xact_replay_timestamp pg_listening_channels pg_lock_status pg_my_temp_schema
    pg_notification_queue_usage pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
    pg_options_to_table pg_partition_ancestors pg_partition_tree pg_postmaster_start_time pg_prepared_xact
    pg_relation_filenode pg_relation_filepath pg_relation_is_publishable pg_relation_is_updatable
    pg_relation_size pg_replication_origin_oid pg_safe_snapshot_blocking_pids pg_sequence_last_value
    pg_sequence_parameters pg_settings_get_flags pg_show_all_settings pg_statistics_obj_is_visible
    pg_table_is_visible pg_table_size pg_tablespace_databases pg_tablespace_location pg_tablespace_size
    pg_timezone_abbrevs pg_timezone_names pg_total_relation_size pg_trigger_depth pg_ts_config_is_visible
    pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible
    pg_xact_commit_timestamp pg_xact_commit_timestamp_origin pg_xact_status regclass row_security_active
    session_user shobj_description to_regclass to_regcollation to_regnamespace to_regoper to_regoperator
    to_regproc to_regprocedure to_regrole to_regtype txid_current txid_current_if_assigned txid_current_snapshot
    txid_status version
"""

# Numbers that the server counts.
_COUNTERS: Final = """
    pg_stat_get_analyze_count pg_stat_get_archiver pg_stat_get_autoanalyze_count pg_stat_get_autovacuum_count
    pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_buf_written_clean
    pg_stat_get_bgwriter_maxwritten_clean pg_stat_get_bgwriter_requested_checkpoints
    pg_stat_get_bgwriter_stat_reset_time pg_stat_get_bgwriter_timed_checkpoints pg_stat_get_blocks_fetched
    pg_stat_get_blocks_hit pg_stat_get_buf_alloc pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend
    pg_stat_get_checkpoint_sync_time pg_stat_get_checkpoint_write_time pg_stat_get_db_active_time
    pg_stat_get_db_blk_read_time pg_stat_get_db_blk_write_time pg_stat_get_db_blocks_fetched
    pg_stat_get_db_blocks_hit pg_stat_get_db_checksum_failures pg_stat_get_db_checksum_last_failure
    pg_stat_get_db_conflict_all pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_lock
    pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_startup_deadlock pg_stat_get_db_conflict_tablespace
    pg_stat_get_db_deadlocks pg_stat_get_db_idle_in_transaction_time pg_stat_get_db_numbackends
    pg_stat_get_db_session_time pg_stat_get_db_sessions pg_stat_get_db_sessions_abandoned
    pg_stat_get_db_sessions_fatal pg_stat_get_db_sessions_killed pg_stat_get_db_stat_reset_time
    pg_stat_get_db_temp_bytes pg_stat_get_db_temp_files pg_stat_get_db_tuples_deleted
    pg_stat_get_db_tuples_fetched pg_stat_get_db_tuples_inserted pg_stat_get_db_tuples_returned
    pg_stat_get_db_tuples_updated pg_stat_get_db_xact_commit pg_stat_get_db_xact_rollback
    pg_stat_get_dead_tuples pg_stat_get_function_calls pg_stat_get_function_self_time
    pg_stat_get_function_total_time pg_stat_get_ins_since_vacuum pg_stat_get_last_analyze_time
    pg_stat_get_last_autoanalyze_time pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time
    pg_stat_get_live_tuples pg_stat_get_mod_since_analyze pg_stat_get_numscans pg_stat_get_recovery_prefetch
    pg_stat_get_slru pg_stat_get_snapshot_timestamp pg_stat_get_tuples_deleted pg_stat_get_tuples_fetched
    pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted pg_stat_get_tuples_returned
    pg_stat_get_tuples_updated pg_stat_get_vacuum_count pg_stat_get_wal pg_stat_get_xact_blocks_fetched
    pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted
    pg_stat_get_xact_tuples_fetched pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted
    pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated
"""

# Volatile without an effect that anybody else sees. pg_advisory_unlock_all gives up only what the session holds;
# drivers reset a connection with it.
_SESSION: Final = """
    clock_timestamp current_query currval gen_random_uuid lastval pg_advisory_unlock_all random setseed
    timeofday
"""

# Not in PostgreSQL 15: added in 16 to 18, or grammar there and a function only where somebody defined one.
_NEWER: Final = """
    any_value array_reverse array_sample array_shuffle array_sort casefold crc32 crc32c date_add date_subtract
    erf erfc gamma icu_unicode_version json json_array json_arrayagg json_exists json_objectagg json_query
    json_scalar json_serialize json_table json_value lgamma merge_action pg_basetype pg_column_toast_chunk_id
    pg_get_acl pg_is_in_backup pg_split_walfile_name random_normal system_user to_bin to_oct to_regtypemod
    unicode_assigned unicode_version uuid_extract_timestamp uuid_extract_version uuidv4 uuidv7 xmltext
"""

# Methods of TABLESAMPLE.
_SAMPLING: Final = """
    bernoulli system
"""

HARMLESS: Final = frozenset(
    f"{_PURE} {_SETTINGS_AND_TYPES} {_INTROSPECTION} {_COUNTERS} {_SESSION} {_NEWER} {_SAMPLING}".split()
)
"""Names in pg_catalog."""

HARMLESS_IN_INFORMATION_SCHEMA: Final = frozenset(
    """
    _pg_char_max_length _pg_char_octet_length _pg_datetime_precision _pg_expandarray _pg_index_position
    _pg_interval_type _pg_numeric_precision _pg_numeric_precision_radix _pg_numeric_scale _pg_truetypid
    _pg_truetypmod
""".split()
)
"""Helpers of the information schema's own views, which tools copy."""

EFFECTFUL: Final = frozenset(
    """
    binary_upgrade_create_empty_extension binary_upgrade_set_missing_value
    binary_upgrade_set_next_array_pg_type_oid binary_upgrade_set_next_heap_pg_class_oid
    binary_upgrade_set_next_heap_relfilenode binary_upgrade_set_next_index_pg_class_oid
    binary_upgrade_set_next_index_relfilenode binary_upgrade_set_next_multirange_array_pg_type_oid
    binary_upgrade_set_next_multirange_pg_type_oid binary_upgrade_set_next_pg_authid_oid
    binary_upgrade_set_next_pg_enum_oid binary_upgrade_set_next_pg_tablespace_oid
    binary_upgrade_set_next_pg_type_oid binary_upgrade_set_next_toast_pg_class_oid
    binary_upgrade_set_next_toast_relfilenode binary_upgrade_set_record_init_privs brin_desummarize_range
    brin_summarize_new_values brin_summarize_range connectby crosstab crosstab2 crosstab3 crosstab4 currtid2
    cursor_to_xml cursor_to_xmlschema database_to_xml database_to_xml_and_xmlschema database_to_xmlschema dblink
    dblink_connect dblink_connect_u dblink_exec dblink_fetch dblink_get_result dblink_open dblink_send_query
    fmgr_c_validator fmgr_internal_validator fmgr_sql_validator gin_clean_pending_list lo_close lo_creat
    lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64
    lo_truncate lo_truncate64 lo_unlink loread lowrite nextval pg_advisory_lock pg_advisory_lock_shared
    pg_advisory_unlock pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared
    pg_backup_start pg_backup_stop pg_cancel_backend pg_config pg_control_checkpoint pg_control_init
    pg_control_recovery pg_control_system pg_copy_logical_replication_slot pg_copy_physical_replication_slot
    pg_create_logical_replication_slot pg_create_physical_replication_slot pg_create_restore_point
    pg_current_logfile pg_cursor pg_drop_replication_slot pg_event_trigger_ddl_commands
    pg_event_trigger_dropped_objects pg_event_trigger_table_rewrite_oid pg_event_trigger_table_rewrite_reason
    pg_export_snapshot pg_extension_config_dump pg_file_read pg_file_rename pg_file_sync pg_file_unlink
    pg_file_write pg_get_backend_memory_contexts pg_get_multixact_members pg_get_replication_slots
    pg_get_shmem_allocations pg_get_wal_replay_pause_state pg_get_wal_resource_managers pg_hba_file_rules
    pg_ident_file_mappings pg_import_system_collations pg_isolation_test_session_is_blocked
    pg_log_backend_memory_contexts pg_logdir_ls pg_logical_emit_message pg_logical_slot_get_binary_changes
    pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
    pg_ls_archive_statusdir pg_ls_dir pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir
    pg_ls_tmpdir pg_ls_waldir pg_lsn_eq pg_lsn_ge pg_lsn_gt pg_lsn_le pg_lsn_lt pg_lsn_mi pg_lsn_mii pg_lsn_ne
    pg_lsn_pli pg_mcv_list_items pg_nextoid pg_notify pg_prepared_statement pg_promote pg_read_binary_file
    pg_read_file pg_read_file_old pg_reload_conf pg_replication_origin_advance pg_replication_origin_create
    pg_replication_origin_drop pg_replication_origin_progress pg_replication_origin_session_is_setup
    pg_replication_origin_session_progress pg_replication_origin_session_reset
    pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup
    pg_replication_slot_advance pg_rotate_logfile pg_rotate_logfile_old pg_show_all_file_settings
    pg_show_replication_origin_status pg_sleep pg_sleep_for pg_sleep_until pg_stat_clear_snapshot pg_stat_file
    pg_stat_force_next_flush pg_stat_get_activity pg_stat_get_backend_activity
    pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr pg_stat_get_backend_client_port
    pg_stat_get_backend_dbid pg_stat_get_backend_idset pg_stat_get_backend_pid pg_stat_get_backend_start
    pg_stat_get_backend_userid pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type
    pg_stat_get_backend_xact_start pg_stat_get_progress_info pg_stat_get_replication_slot
    pg_stat_get_subscription pg_stat_get_subscription_stats pg_stat_get_wal_receiver pg_stat_get_wal_senders
    pg_stat_have_stats pg_stat_reset pg_stat_reset_replication_slot pg_stat_reset_shared
    pg_stat_reset_single_function_counters pg_stat_reset_single_table_counters pg_stat_reset_slru
    pg_stat_reset_subscription_stats pg_stop_making_pinned_objects pg_switch_wal pg_terminate_backend
    pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared
    pg_wal_replay_pause pg_wal_replay_resume plpgsql_validator query_to_xml query_to_xml_and_xmlschema
    query_to_xmlschema schema_to_xml schema_to_xml_and_xmlschema schema_to_xmlschema set_config setval
    suppress_redundant_updates_trigger table_to_xml table_to_xml_and_xmlschema table_to_xmlschema ts_rewrite
    ts_stat
""".split()
)
"""Names that are dangerous where a name need not be a function: in ``(x).name``, which calls name(x)."""

REVEALING_FUNCTIONS: Final = frozenset(
    """
    get_raw_page heap_page_items heap_page_item_attrs pg_cursor pg_logical_slot_get_binary_changes
    pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes
    pg_mcv_list_items pg_prepared_statement pg_show_all_file_settings pg_stat_get_activity
    pg_stat_get_backend_activity pg_stat_statements pgstatginindex
""".split()
)
"""Functions that show values or statements of others, whatever they are asked about."""

REVEALING_RELATIONS: Final = frozenset(
    """
    pg_authid pg_cursors pg_largeobject pg_prepared_statements pg_shadow pg_stat_activity pg_stat_statements
    pg_statistic pg_statistic_ext_data pg_stats pg_stats_ext pg_stats_ext_exprs pg_subscription pg_user_mapping
    pg_user_mappings
""".split()
)
"""Relations that show column values (samples, large objects), statements of others, or credentials. By name alone,
since extensions put theirs into any schema; the whole of pg_toast belongs to them as well."""
