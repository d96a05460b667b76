"""The promises about faults, P1 to P30, and the tests that keep each: none is lost when tests are moved or renamed.

A promise is a sentence of the fault matrix; its figures are in the tests and, where they are large (a thousand kills,
ten thousand strings), in the benchmarks under benchmarks/faults, whose short form is in the suite.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

KEPT_BY: dict[str, tuple[str, ...]] = {
    "P1 nothing bought is lost": (
        "generation/test_teacher_crash.py::test_a_generation_killed_at_random_moments_loses_nothing_and_pays_once",
        "generation/test_ledger.py::test_a_torn_last_line_loses_one_line_and_no_more",
    ),
    "P2 nothing bought twice": (
        "generation/test_teacher_crash.py::test_a_generation_killed_at_random_moments_loses_nothing_and_pays_once",
        "lessons/test_teacher_lessons.py::test_resume_goes_by_what_a_thing_is_and_pays_nothing_again",
        "generation/test_provider_errors.py::test_stripping_the_thinking_later_pays_for_nothing_again",
    ),
    "P3 the ledger never knows less than was spent": (
        "generation/test_ledger.py::test_a_request_without_an_outcome_counts_as_spent",
        "generation/test_lying_provider.py::test_what_is_booked_against_the_word_of_the_provider_is_said",
        "runs/test_disk_order.py::test_no_request_leaves_before_its_intent_is_on_the_disk",
    ),
    "P4 the cap is hard": (
        "generation/test_ledger.py::test_the_cap_is_hard_for_any_number_at_once",
        "generation/test_lying_provider.py::test_the_cap_holds_against_a_provider_that_reports_too_little",
    ),
    "P5 a full disk costs nothing": (
        "generation/test_ledger.py::test_a_full_disk_costs_nothing",
        "generation/test_ledger.py::test_space_is_reserved_before_the_first_request",
        "runs/test_disk_order.py::test_a_call_that_fails_loses_nothing",
    ),
    "P6 hopeless errors stop at once": (
        "generation/test_teacher_server.py::test_hopeless_errors_stop_at_once",
        "generation/test_teacher.py::test_a_status_says_whether_to_stop_to_wait_or_to_leave_the_row",
        "generation/test_teacher.py::test_retry_after_is_held_to_two_minutes",
        "generation/test_teacher.py::test_the_breaker_probes_one_by_one_and_then_gives_up",
    ),
    "P7 every call has a deadline": (
        "generation/test_teacher_server.py::test_a_call_ends_at_its_deadline_however_slowly_bytes_drip",
    ),
    "P8 no half answers as labels": (
        "generation/test_teacher.py::test_a_defective_response_never_becomes_a_label",
        "generation/test_teacher.py::test_the_corpus_of_unusable_responses_is_large_enough",
        "generation/test_teacher.py::test_http_200_alone_is_no_success",
        "generation/test_teacher.py::test_a_complete_response_is_taken_with_its_cost",
        "generation/test_content.py::test_a_cut_answer_is_never_taken",
        "generation/test_content.py::test_answers_with_marks_of_their_own_are_rejected_or_found",
        "generation/test_teacher_server.py::test_what_is_no_set_of_one_to_five_emoji_is_no_target",
        "lessons/test_teacher_lessons.py::test_an_unusable_response_is_kept_apart_with_its_reason",
    ),
    "P9 a resumed run is the same experiment": (
        "generation/test_generate.py::test_every_setting_is_part_of_the_identity_or_may_change",
        "generation/test_generate.py::test_a_changed_experiment_is_not_gone_on_with",
        "pipeline/test_pipeline.py::test_a_training_does_not_go_on_with_other_settings",
        "pipeline/test_pipeline.py::test_a_run_refuses_data_that_changed_under_it",
    ),
    "P10 one writer": (
        "runs/test_lock.py::test_a_second_process_learns_who_holds_the_run",
        "runs/test_lock.py::test_of_fifty_races_each_has_exactly_one_winner",
        "pipeline/test_pipeline.py::test_two_processes_never_write_one_run",
    ),
    "P11 resume is exact to the bit": (
        "training/test_loop.py::test_a_resumed_run_ends_in_the_same_bits",
        "training/test_training_crash.py::test_a_training_killed_at_random_moments_ends_with_the_same_weights",
        "pipeline/test_pipeline.py::test_a_killed_run_goes_on_to_the_same_bits",
    ),
    "P12 a kill never strands a run": (
        "runs/test_checkpoints.py::test_a_kill_at_every_boundary_of_a_save_leaves_a_whole_checkpoint",
        "runs/test_checkpoints.py::test_a_hundred_random_kills_never_strand_a_run",
        "pipeline/test_pipeline_crash.py::test_a_run_killed_at_any_change_on_the_disk_goes_on_to_the_same",
    ),
    "P13 a flipped bit is noticed": (
        "runs/test_bit_flips.py::test_a_thousand_flips_in_a_ledger_are_noticed",
        "runs/test_bit_flips.py::test_all_kinds_of_files_are_guarded",
        "runs/test_checkpoints.py::test_every_flipped_bit_is_noticed_and_its_file_named",
    ),
    "P14 no silent numeric death": (
        "training/test_guards_faults.py::test_a_fault_is_stopped_within_one_step_and_its_cause_named",
        "training/test_loop.py::test_a_bad_weight_stops_the_step_and_is_named",
        "training/test_loop.py::test_a_learning_rate_that_explodes_stops_within_a_step_and_saves_nothing_broken",
        "training/test_loop.py::test_a_dev_loss_that_is_not_finite_is_never_the_best",
        "lessons/test_trials.py::test_trial_1_is_not_finite_and_stops_at_that_step",
    ),
    "P15 no silent nothing": (
        "training/test_batches.py::test_nothing_to_train_on_is_refused",
        "training/test_defaults.py::test_epochs_decide_the_steps",
        "config/test_config.py::test_a_number_that_cannot_be_trained_with_is_refused",
        "data/test_audit.py::test_nothing_to_train_on_stops",
        "training/test_preflight.py::test_masks_are_checked_by_decoding_the_target_tokens",
        "training/test_preflight.py::test_values_that_cannot_be_trained_with_are_refused",
        "models/pretrained/test_pretrained_lessons.py::test_padding_is_never_counted_in_the_loss",
    ),
    "P16 lengths are counted before training": (
        "training/test_preflight.py::test_all_rows_that_do_not_fit_are_named_at_once",
        "data/test_audit_tokens.py::test_a_target_over_the_limit_stops",
        "models/pretrained/test_prompt.py::test_rows_that_do_not_fit_are_refused_and_never_cut",
        "models/builtin/test_builtin_model.py::test_a_source_or_target_that_does_not_fit_is_named_and_never_truncated",
    ),
    "P17 labels survive the tokenizer": (
        "data/test_audit_tokens.py::test_a_target_that_becomes_unknown_stops",
        "data/test_audit_tokens.py::test_a_target_that_decodes_to_another_text_stops_without_any_unknown",
        "models/pretrained/test_prompt.py::test_targets_decode_to_themselves",
        "models/pretrained/test_prompt.py::test_a_target_that_cannot_be_encoded_is_refused_by_name",
    ),
    "P18 settings mean something": (
        "data/test_unused_settings.py::test_a_setting_of_the_data_that_decides_nothing_is_refused",
        "training/test_preflight.py::test_a_setting_without_effect_is_refused",
        "training/test_preflight.py::test_what_a_set_head_does_not_use_is_refused",
        "lessons/test_trials.py::test_half_precision_and_the_long_warm_up_are_refused",
        "pipeline/test_pipeline.py::test_a_training_does_not_go_on_with_other_settings",
    ),
    "P19 evaluation repeats exactly": (
        "evaluation/test_repeats.py::test_ten_evaluations_and_reports_are_the_same_to_the_byte",
        "evaluation/test_repeats.py::test_sampling_repeats_with_the_stored_seed",
        "pipeline/test_pipeline.py::test_a_run_sits_its_own_exam_again",
        "decoding/test_decoding.py::test_outputs_do_not_depend_on_the_batch_and_are_in_order",
        "decoding/test_decoding.py::test_a_seed_repeats_and_the_batch_does_not_matter",
    ),
    "P20 the same exam, or no comparison": (
        "evaluation/test_compare.py::test_what_differs_is_named_and_nothing_is_compared",
        "evaluation/test_compare.py::test_other_items_under_the_same_name_are_refused",
        "data/test_audit.py::test_an_exam_item_in_train_stops_in_any_spelling",
        "lessons/test_data.py::test_the_same_example_is_never_in_two_splits",
    ),
    "P21 reports are inert": (
        "reporting/test_report_browser.py::test_no_hostile_string_runs_or_asks_for_anything",
        "reporting/test_report_browser.py::test_the_counters_count",
        "reporting/test_report.py::test_three_hundred_hostile_strings_stay_text_in_html",
        "reporting/test_report.py::test_three_hundred_hostile_strings_stay_text_in_markdown",
        "reporting/test_report.py::test_hostile_strings_stay_text_in_a_sweep",
        "reporting/test_report.py::test_the_csv_comes_back_as_it_was_asked_and_answered",
        "lessons/test_other_peoples_files.py::test_a_table_for_a_spreadsheet_has_its_mark_and_no_formula",
        "cli/test_terminal.py::test_whatever_a_console_prints_is_safe",
    ),
    "P22 no secrets on disk": (
        "generation/test_teacher_server.py::test_the_key_is_written_nowhere",
        "generation/test_keys.py::test_files_with_raw_traffic_are_for_their_owner",
        "runs/test_runs.py::test_no_key_reaches_the_folder",
    ),
    "P23 no code of a model or data folder runs": (
        "pipeline/test_hostile_folders.py::test_no_code_of_a_strangers_folder_runs",
        "pipeline/test_hostile_folders.py::test_a_function_refuses_runs_with_trust_and_refuses_what_has_changed",
        "pipeline/test_hostile_folders.py::test_a_sweep_refuses_runs_with_trust_and_refuses_what_has_changed",
        "pipeline/test_hostile_folders.py::test_a_generation_runs_no_task_file_whatever_is_trusted",
        "models/pretrained/test_hostile_checkpoints.py::test_a_hostile_folder_is_refused_with_advice",
        "test_file_errors.py::test_no_command_opens_a_special_file",
    ),
    "P24 data cannot speak as the template": (
        "models/pretrained/test_prompt.py::test_data_cannot_write_control_tokens",
        "generation/test_generate.py::test_a_sentence_cannot_end_its_own_quotation",
    ),
    "P25 bounded work": (
        "models/pretrained/test_prompt.py::test_a_hostile_template_ends_with_its_child_process",
        "models/pretrained/test_hostile_checkpoints.py::test_a_hostile_folder_is_refused_with_advice",
        "data/test_audit.py::test_no_cell_costs_more_than_its_length",
        "cli/test_wrong_commands.py::test_a_path_that_cannot_be_is_refused_with_its_name",
    ),
    "P29 old runs open": (
        "runs/test_old_folders.py::test_a_saved_model_predicts_what_it_predicted",
        "runs/test_old_folders.py::test_a_run_whose_exam_is_closed_goes_on",
        "runs/test_runs.py::test_a_run_of_the_first_format_still_opens",
    ),
    "P30 any failure speaks": (
        "pipeline/test_doctor.py::test_a_finding_names_file_and_row",
        "cli/test_wrong_commands.py::test_no_wrong_command_line_is_our_fault",
        "test_i18n.py::test_every_error_can_be_translated",
        "test_i18n.py::test_every_error_says_what_to_do",
        "plugins/test_faults.py::test_a_fault_in_ones_own_file_is_named",
    ),
}
BENCHMARKS: dict[str, str] = {
    "P1": "teacher_crash_tests", "P5": "disk_fault_injection", "P12": "training_crash_tests", "P13": "bit_flips",
    "P14": "guards", "P24": "template_fuzz", "P30": "cli_fuzzing",
}  # fmt: skip


@cache
def _tests_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("promise", KEPT_BY)
def test_a_promise_is_kept_by_tests_that_exist(promise: str) -> None:
    """A test that was renamed or dropped takes its promise with it, unless somebody notices here."""
    assert KEPT_BY[promise]
    for place in KEPT_BY[promise]:
        file, _, name = place.partition("::")
        assert name.startswith("test_") and name in _tests_in(file), place


def test_every_promise_about_faults_has_its_tests() -> None:
    """P26 to P28 are those of the playground and of sweeps that run on several machines; their tests lie there."""
    numbers = [int(promise.split(" ")[0].removeprefix("P")) for promise in KEPT_BY]
    assert numbers == [number for number in range(1, 31) if number not in (26, 27, 28)]


@pytest.mark.parametrize("promise", BENCHMARKS)
def test_a_large_count_has_a_benchmark_and_its_result(promise: str) -> None:
    """What takes hours stands in a table with the command that makes it."""
    name = BENCHMARKS[promise]
    assert (ROOT / "benchmarks" / "faults" / f"{name}.py").is_file()
    assert (ROOT / "benchmarks" / "results" / f"{name}.md").is_file()
