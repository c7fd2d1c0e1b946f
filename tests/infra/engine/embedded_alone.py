"""Tests of the engine that the real CLI does not take, and why: all others run on both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORDS: Final = (
    "it holds our words of an error; the CLI has its own, which `stacks/pulumi_driver/refusals.py` reads"
)
WIDTH: Final = "the CLI has what we refuse by name"
HOST: Final = (
    "the CLI needs its Python language host for a program in a folder, and Go's modules have no version of it"
)
LOCK: Final = (
    "it is of our lock, or of our words of the CLI's; both at once: `tests/stacks/test_driver_rims.py`"
)
FOREIGN: Final = "it makes up a state that the CLI itself does not read, or reads otherwise"
UNCLEAR: Final = "the CLI takes every error for an end, and keeps nothing pending"
SECRETS: Final = "`tests/reality/test_secret_files.py`"
WRITES: Final = "the CLI writes its checkpoint in every run, and several times in one"

EMBEDDED_ALONE: Final[Mapping[str, str]] = {
    "test_the_real_cli_agrees_and_reads_our_state": "it runs both engines by itself",
    "test_a_clusters_objects_go_with_it": "the CLI is told so by PULUMI_K8S_DELETE_UNREACHABLE",
    "test_a_destroy_needs_no_cluster_that_is_gone": "it is told so, too",
    "test_what_cannot_be_read_stays_while_its_cluster_is_there": "it is the other side of the one before",
    "test_version_is_the_sdks": "the CLI has a version of its own, which go.mod pins",
    "test_config_round_trip": "the CLI encrypts a secret anew when the same value is set again",
    "test_history_has_every_operation_with_its_config": "the CLI's file backend does not number its updates",
    "test_backup_is_the_state_before_the_operation": WRITES,
    "test_nothing_is_written_and_nothing_called_on_same": WRITES,
    "test_a_default_providers_secret_configuration_is_encrypted": f"{WRITES}; secrets: {SECRETS}",
    "test_options_beyond_the_width_are_refused_by_name": WIDTH,
    "test_an_alias_that_would_matter_is_refused_and_another_is_not": WIDTH,
    "test_other_things_beyond_the_width_are_refused_by_name": WIDTH,
    "test_commands_beyond_the_width_are_refused_by_name": WIDTH,
    "test_archives_and_assets_are_refused_by_name": WIDTH,
    "test_refusals_are_in_our_words": WIDTH,
    "test_what_holds_for_the_whole_stack_is_refused_in_our_words": WIDTH,
    "test_region_of_a_provider_cannot_change_in_place": "the CLI replaces the provider and all its resources",
    "test_protected_is_not_deleted_and_nothing_else_is": "the CLI deletes what is not protected, and then fails",
    "test_resources_another_engine_only_read_are_refused": FOREIGN,
    "test_keys_of_another_engine_stay": FOREIGN,
    "test_a_state_that_would_be_handled_wrongly_is_refused_whole": FOREIGN,
    "test_values_that_are_not_known_are_told_with_their_resource": FOREIGN,
    "test_bad_surroundings_are_said_plainly": WORDS,
    "test_failed_create_leaves_its_siblings_and_says_why": WORDS,
    "test_check_failures_name_resource_property_and_reason": WORDS,
    "test_unclear_outcome_stays_on_record_and_is_resolved": UNCLEAR,
    "test_destroy_reports_what_is_still_unclear": UNCLEAR,
    "test_a_preview_beside_a_run_says_so": LOCK,
    "test_second_writer_gets_a_concurrent_update_error": LOCK,
    "test_the_lock_of_another_tool_is_respected_and_told_with_what_to_type": LOCK,
    "test_a_lock_whose_owner_is_gone_is_lifted": LOCK,
    "test_nothing_of_ours_is_left_among_pulumis_locks": LOCK,
    "test_a_program_in_a_folder_runs_in_its_own_interpreter": HOST,
    "test_a_broken_program_in_a_folder_shows_its_own_frames_only": HOST,
    "test_never_in_the_clear_in_files_events_or_text": "its provider gives a secret back under another name: the CLI "
    "hides what provider or program call secret, ours what is inside as well; both: "
    f"{SECRETS}",
    "test_error_messages_are_cleaned": "the CLI tells a provider's words as they are",
    "test_outputs_do_not_open_under_another_passphrase": "the CLI masks a secret output without opening it",
    "test_no_create_before_its_needs_and_no_delete_before_its_dependents": "its drawn programs take "
    "the CLI many minutes; the order in a state is looked at after every operation of every test",
}
"""By the test's name; conftest.py runs all others on the CLI, docs/architecture/reality.md tells these."""
