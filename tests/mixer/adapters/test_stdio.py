"""``stdio`` writes one line for each log entry and metric."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta

import pytest

from meshregistry.errors import MixerError
from meshregistry.mixer import StringMap
from meshregistry.mixer.spi import LogEntry, Metric

WHEN = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
NAME = "x.instance.ns"


def entry(severity="Default", **variables):
    """A log entry."""
    return LogEntry(name=NAME, timestamp=WHEN, severity=severity, variables=variables)


@pytest.fixture
def written(adapters, run_async, tmp_path):
    """The lines that a handler has written to a file."""

    def write(*instances, params=""):
        async def main():
            file = f"{{logStream: FILE, outputPath: out.log{params}}}"
            async with adapters.running("stdio", file) as (handler, context):
                await handler.report(instances)
            return context

        context = run_async(main())
        return (tmp_path / "out.log").read_text(encoding="utf-8").splitlines(), context

    return write


def test_a_line_is_json_in_a_fixed_order(written):
    """Level, time and instance, then the variables by name, each as JSON has it."""
    (line,), context = written(
        entry(
            url="/ü",
            code=200,
            ok=True,
            ip=b"\x0a\x00\x00\x01",
            took=timedelta(milliseconds=1500),
            at=WHEN,
            labels=StringMap({"b": "2", "a": "1"}),
        )
    )
    assert line == (
        '{"level":"info","time":"2026-03-04T05:06:07.000089Z","instance":"x.instance.ns",'
        '"at":"2026-03-04T05:06:07.000089Z","code":200,"ip":"10.0.0.1",'
        '"labels":{"a":"1","b":"2"},"ok":true,"took":"1.5s","url":"/ü"}'
    )
    assert 1 == context.counts["lines"]


def test_a_metric_has_its_value_first(written):
    """And the time of the report."""
    (line,), _ = written(Metric(name=NAME, value=2.5, dimensions={"b": "x", "a": 1}))
    assert line == (
        '{"level":"info","time":"2026-01-01T00:00:00.000000Z","instance":"x.instance.ns",'
        '"value":2.5,"a":1,"b":"x"}'
    )


@pytest.mark.parametrize(
    ("severity", "level"),
    [("warning", "warn"), ("WARN", "warn"), ("fatal", "error"), ("Odd", "info"), ("5", "error")],
)
def test_a_severity_has_a_level(written, severity, level):
    """By the usual names, by those of the parameters, else info."""
    (line,), _ = written(entry(severity), params=", severityLevels: {'5': ERROR}")
    assert level == json.loads(line)["level"]


def test_lower_levels_are_not_written(written):
    """Neither entries nor metrics below the level of the output."""
    lines, _ = written(
        entry("INFO"), entry("ERROR"), Metric(name=NAME, value=1), params=", outputLevel: WARNING"
    )
    assert ["error"] == [json.loads(line)["level"] for line in lines]


def test_text_for_people(written):
    """Time, level and name stand before an object."""
    (line,), _ = written(entry("ERROR", a=1), params=", outputAsJson: false")
    assert '2026-03-04T05:06:07.000089Z\terror\tx.instance.ns\t{"a":1}' == line


def test_numbers_that_json_lacks_are_texts(written):
    """A line stays one that every parser reads."""
    (line,), _ = written(entry(a=float("nan"), b=float("inf"), c="\n"))
    assert {"a": "NaN", "b": "+Inf", "c": "\n"}.items() <= json.loads(line).items()


@pytest.mark.parametrize("stream", ["STDOUT", "STDERR"])
def test_a_standard_stream_is_written_and_left_open(adapters, run_async, capsys, stream):
    """Whoever writes there after the handler can."""

    async def main():
        async with adapters.running("stdio", f"{{logStream: {stream}}}") as (handler, _):
            await handler.report([entry(a=1)])

    run_async(main())
    captured = capsys.readouterr()
    assert 1 == json.loads(captured.out if stream == "STDOUT" else captured.err)["a"]


def test_a_full_queue_drops_and_counts(adapters, run_async):
    """A call never waits for the disk."""

    async def main():
        handler, context = adapters.open("stdio", "{queueSize: 2}")
        await handler.report([entry(), entry(), entry()])
        return context

    context = run_async(main())
    assert {"lines": 2, "dropped_lines": 1} == context.counts


def test_files_rotate_by_size_and_are_deleted_by_number_and_age(adapters, run_async, tmp_path):
    """The newest are kept."""

    async def main(count):
        params = (
            "{logStream: ROTATED_FILE, outputPath: r.log, maxMegabytesBeforeRotation: 1, "
            "maxRotatedFiles: 3, maxDaysBeforeRotation: 2}"
        )
        async with adapters.running("stdio", params) as (handler, _):
            for number in range(count):
                await handler.report([entry(number=number, text="x" * 700_000)])

    run_async(main(7))
    assert ["r.log", "r.log.1", "r.log.2", "r.log.3"] == sorted(
        one.name for one in tmp_path.iterdir()
    )
    old = datetime.now(UTC).timestamp() - 3 * 86_400
    for name in ("r.log.1", "r.log.2"):
        os.utime(tmp_path / name, (old, old))
    # Somebody else's, who has called it so.
    (tmp_path / "r.log.keep").touch()
    os.utime(tmp_path / "r.log.keep", (old, old))
    run_async(main(1))
    assert ["r.log", "r.log.1", "r.log.keep"] == sorted(one.name for one in tmp_path.iterdir())
    assert 7 - 1 == json.loads((tmp_path / "r.log.1").read_text(encoding="utf-8"))["number"]


def test_a_file_that_others_rotate_is_opened_anew(adapters, run_async, tmp_path):
    """Lines go to the file of the name, not to the one that was moved away."""
    path = tmp_path / "out.log"

    async def main():
        async with adapters.running("stdio", "{logStream: FILE, outputPath: out.log}") as (
            handler,
            _,
        ):
            await handler.report([entry(n=1)])
            while not path.stat().st_size:  # noqa: ASYNC110 - a thread writes it
                await asyncio.sleep(0.001)
            path.rename(tmp_path / "old.log")
            await handler.report([entry(n=2)])

    run_async(main())
    assert ['"n":1}', '"n":2}'] == [
        (tmp_path / name).read_text(encoding="utf-8").strip()[-6:]
        for name in ("old.log", "out.log")
    ]


def test_a_file_that_cannot_be_written_fails_the_start(adapters, run_async, tmp_path):
    """It is known when the handler is opened, not with the first line; with what to do."""

    async def main():
        handler, _ = adapters.open("stdio", "{logStream: FILE, outputPath: no/such/file}")
        path = tmp_path / "no/such/file"
        with pytest.raises(
            MixerError, match=f"^outputPath: {path} cannot be written: No such file"
        ):
            await handler.start()
        await handler.close()

    run_async(main())


@pytest.mark.parametrize(
    ("params", "fault"),
    [
        ("{logStream: FILE}", ".logStream: FILE needs a file; add outputPath"),
        (
            "{outputPath: x}",
            ".outputPath: STDOUT is no file; write logStream: FILE or ROTATED_FILE",
        ),
        ("{maxRotatedFiles: 0}", ".maxRotatedFiles: must be at least 1"),
        ("{queue_size: 0}", ".queue_size: must be at least 1"),
        (
            "{maxDaysBeforeRotation: -1}",
            ".maxDaysBeforeRotation: must not be negative; 0 keeps files of any age",
        ),
    ],
)
def test_faults_of_the_configuration(adapters, params, fault):
    """Found before anything is opened, at the fields as they are spelled."""
    plan, faults = adapters.plan("stdio", params)
    assert plan is None
    assert [f"spec.params{fault}"] == faults
