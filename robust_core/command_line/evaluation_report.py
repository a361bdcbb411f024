"""The report of `evaluate`: lines for people, JSON and CSV."""

import json
import sys
from argparse import Namespace
from collections.abc import Collection, Sequence
from pathlib import Path

from robust_core.command_line.selection import attack_line
from robust_core.errors import InputError
from robust_core.evaluation.finding import Finding, Severity, outcome_of_checks
from robust_core.evaluation.lowest import share_words
from robust_core.evaluation_runs.directory import EvaluationDirectory
from robust_core.evaluation_runs.results import AttackResult, CheckpointResult
from robust_core.files import write_atomically
from robust_core.units import percent


def write_report(options: Namespace, directory: EvaluationDirectory) -> None:
    """Write the results to stdout and to the requested files."""
    results = directory.results()
    wanted = results.plan.checked_labels
    lines = [line for one in results.checkpoints for line in result_lines(one, wanted)]
    state = directory.status().state
    lines.append(f"evaluation {directory.run_id} {state}: {directory.path}")
    if state == "stopped":
        lines.append("results so far are saved; continue with --resume or --run")
    if not options.quiet:
        sys.stdout.write("\n".join(lines) + "\n")
    if options.json is not None:
        _write(options.json, json.dumps(results.to_json(), indent=2) + "\n")
    if options.csv is not None:
        _write(options.csv, results.to_csv())


def result_lines(result: CheckpointResult, wanted: Collection[str]) -> list[str]:
    """Return what was found about a checkpoint; `wanted`: attacks to be checked, by label."""
    clean = result.clean
    lines = [
        f"model     {result.name}",
        f"images    {clean.num_images} of {result.data}/{result.split}",
        f"clean     {share_words(clean.clean_accuracy, clean.clean_interval)}",
    ]
    for one in result.attacks:
        lines += [*_attack_lines(one), *_check_lines(one.report.findings, one.label in wanted)]
    lowest = result.lowest
    if result.attacks and (len(result.attacks) > 1 or lowest.finding is not None):
        lines += [
            f"lowest    {share_words(lowest.accuracy, lowest.interval)}, worst case of all attacks "
            f"and checks on {lowest.num_images} images",
            f"          {result.headline()}",
        ]
    return [*lines, ""]


def _attack_lines(one: AttackResult) -> list[str]:
    report = one.report
    assert report.attack is not None, "a report in a list of attacks has one"
    via = f", computed on {one.choice.surrogate_words}" if one.choice.surrogate else ""
    claim = ", as reported in the paper" if one.choice.role == "claim" else ""
    lines = [
        f"attack    {attack_line(report.attack)}{via}{claim}",
        f"robust    {share_words(report.robust_accuracy, report.robust_interval)}",
        f"cost      {report.seconds:.1f} s, {report.forward_passes} forward and "
        f"{report.backward_passes} backward passes of an image",
    ]
    lines += [f"note      {note}" for note in report.notes]
    for curve in one.curves:
        points = zip(curve.values, curve.accuracies, strict=True)
        listed = ", ".join(f"{value:.4g}: {percent(share, 1)}" for value, share in points)
        lines.append(f"curve     {curve.parameter} {listed}")
    return lines


def _check_lines(findings: Sequence[Finding], wanted: bool) -> list[str]:
    """Return the findings of the reliability checks; `wanted`: whether the plan has them."""
    if not findings:
        return [f"checks    {'not yet run' if wanted else 'not checked (--check)'}"]
    bad = [finding for finding in findings if finding.severity is not Severity.OK]
    reasons = [f"  {finding.severity:<4}    {finding.sentence}" for finding in bad]
    return [f"checks    {outcome_of_checks(findings)}", *reasons]


def _write(path: Path, text: str) -> None:
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from None
