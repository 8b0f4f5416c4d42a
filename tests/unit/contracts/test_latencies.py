"""Files of latencies from strangers: each fault is an error that names its row."""

from itertools import chain, repeat
from typing import Any

import pytest

from app.contracts.bench import Bench
from app.contracts.latencies import (
    LatenciesError,
    check_asked,
    check_covers,
    read_latencies,
)
from app.contracts.spec import PruneConfig
from secateur.secateur_bench import COLUMNS
from tests.fixtures.latencies import BENCH, as_csv, latency_rows

MOST_ROWS = 100
HUGE = "9" * 400


def read(rows: list[dict[str, str]]) -> Any:
    return read_latencies(as_csv(rows), MOST_ROWS)


def test_a_file_is_read_as_it_was_measured() -> None:
    rows = latency_rows(BENCH, precisions=("fp32", "int8"), network=0.5)
    found = read(rows)
    assert (found.model, found.bench, found.device) == ("mdl_test", BENCH["id"], "board")
    assert (found.num_threads, found.batch_size, found.network_seconds) == (4, 1, 0.5)
    assert found.precisions == ("fp32", "int8")
    assert set(found.seconds["fp32"]) == set(Bench.model_validate(BENCH).all_layers())
    assert next(iter(found.seconds["fp32"].values())) == float(rows[0]["median_seconds"])
    check_covers(found, Bench.model_validate(BENCH), "net")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("median_seconds", "nan", "row 3: median_seconds is 'nan'; it must be a number of seconds"),
        ("median_seconds", "-0.1", "row 3: median_seconds is '-0.1'"),
        ("median_seconds", "0", "row 3: median_seconds is '0'"),
        ("median_seconds", "inf", "row 3: median_seconds is 'inf'"),
        ("high_seconds", "1e300", "row 3: high_seconds is '1e300'; .* at most 3600"),
        ("median_seconds", "1.2 ms", "row 3: .* is '1.2 ms'; it must be a number of seconds"),
        ("median_seconds", "0,0012", "row 3: .* is '0,0012'; .*, such as 0.0012"),
        ("low_seconds", "", "row 3: low_seconds is ''"),
        ("low_seconds", "1", "row 3: median_seconds .* is outside its interval, 1 to"),
        ("in_channels", "-8", "row 3: in_channels is '-8'; it must be a whole number"),
        ("out_channels", "8.0", "row 3: out_channels is '8.0'"),
        ("out_channels", HUGE, "row 3: out_channels is '9{40}…'"),
        ("out_channels", "\N{ARABIC-INDIC DIGIT EIGHT}", "row 3: out_channels is"),
        ("groups", "0", "row 3: groups is '0'; it must be a whole number from 1"),
        ("kernel", "3x3x3x3", "row 3: kernel is '3x3x3x3'; it must be sizes such as 3x3"),
        ("kernel", "3x", "row 3: kernel is '3x'"),
        ("kind", "lstm", "row 3: kind is 'lstm'; it must be one of conv"),
        ("precision", "fp16", "row 3: precision is 'fp16'; it must be one of fp32, int8"),
        ("device", "other", "row 3: device is 'other', and in the first row 'board'"),
        ("model", "mdl_other", "row 3: model is 'mdl_other', and in the first row 'mdl_test'"),
        ("num_rounds", "many", "row 3: num_rounds is 'many'"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(column: str, value: str, message: str) -> None:
    rows = latency_rows(BENCH)
    rows[1][column] = value
    with pytest.raises(LatenciesError, match=message):
        read(rows)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("device", "\x1b[31mred"),
        ("device", ""),
        ("device", "x" * 101),
        ("runtime", "a\nb"),
        ("bench", "../../etc"),
        ("num_threads", "0"),
        ("batch_size", "NaN"),
    ],
)
def test_a_wrong_value_of_all_rows_is_named_with_the_first(column: str, value: str) -> None:
    rows = [{**row, column: value} for row in latency_rows(BENCH)]
    with pytest.raises(LatenciesError, match=f"row 2: {column} is"):
        read(rows)


def test_a_repeated_row_names_both() -> None:
    rows = latency_rows(BENCH)
    with pytest.raises(LatenciesError, match="row 5 repeats row 2: 3x3 conv on 8x8 from 8 to 16"):
        read([*rows, rows[0]])


def test_the_whole_network_has_one_row_for_each_precision() -> None:
    rows = latency_rows(BENCH, network=0.5)
    with pytest.raises(LatenciesError, match="row 6: the whole network has one fp32 row"):
        read([*rows, rows[-1]])


def test_the_whole_network_may_be_measured_in_both_precisions() -> None:
    rows = latency_rows(BENCH, precisions=("fp32", "int8"), network=0.5, int8_network=0.2)
    found = read(rows)
    assert (found.network_seconds, found.int8_network_seconds) == (0.5, 0.2)
    with pytest.raises(LatenciesError, match="the whole network has one int8 row"):
        read([*rows, rows[-1]])


def test_layers_in_other_units_than_the_network_are_refused() -> None:
    rows = latency_rows(BENCH, seconds=lambda _: 4.0, network=0.05)
    with pytest.raises(
        LatenciesError, match=r"row \d: the layer takes 4 s, .* 0\.05 s: every time"
    ):
        read(rows)
    read(latency_rows(BENCH, seconds=lambda _: 0.06, network=0.05))  # noise


def test_one_layer_that_was_disturbed_is_accepted() -> None:
    times = chain([50.0], repeat(0.01))
    read(latency_rows(BENCH, seconds=lambda _: next(times), network=0.05))


def test_a_tiny_network_on_a_busy_device_is_accepted() -> None:
    read(latency_rows(BENCH, seconds=lambda _: 6e-5, network=1.4e-5))


def test_more_rows_than_the_limit_are_refused() -> None:
    with pytest.raises(LatenciesError, match="more than 2 rows"):
        read_latencies(as_csv(latency_rows(BENCH)), 2)


HEADER = ",".join(COLUMNS).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no fp32 rows"),
        (HEADER, "no fp32 rows"),
        (b"\xff\xfe\x00", "not CSV text in UTF-8"),
        (b"a,b,c\n1,2,3", "row 1 names none of the columns 'model', 'bench', 'device' and 18"),
        (HEADER.replace(b"kind,groups,", b""), "no column 'kind', 'groups': upload what"),
        (HEADER + b",comment", "a column too many, 'comment'"),
        (HEADER + b",kind", "in another order, or twice"),
        (HEADER.replace(b"n_seconds", b"n_ms"), "'median_ms' and no .* times are in seconds"),
        (HEADER.replace(b",", b";"), "separates its values by semicolons"),
        (HEADER.replace(b",", b"\t"), "separates its values by tabs"),
        (HEADER.decode().encode("utf-16"), "not CSV text in UTF-8: upload"),
        (HEADER.replace(b"model,bench", b"bench,model"), "columns in another order"),
        (HEADER + b"\n1,2,3", "row 2 has 3 values, and there are 21 columns"),
        (HEADER + b'\n"unclosed', "row 2 is not CSV"),
        (HEADER + b'\n"' + b"x" * 200_000 + b'"', "row 2 is not CSV"),
        (b"PK\x03\x04", "row 1 names none of the columns"),
    ],
)
def test_a_file_that_is_no_table_of_latencies_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(LatenciesError, match=message):
        read_latencies(data, MOST_ROWS)


def test_what_spreadsheets_add_is_accepted() -> None:
    plain = as_csv(latency_rows(BENCH))
    found = read_latencies(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n") + b"\r\n", MOST_ROWS)
    assert found == read_latencies(plain, MOST_ROWS)


def test_a_missing_width_is_named() -> None:
    bench = Bench.model_validate(BENCH)
    found = read(latency_rows(BENCH)[:-1])
    with pytest.raises(
        LatenciesError, match="the fp32 row of 3x3 conv on 8x8 from 8 to 12 is missing: run"
    ):
        check_covers(found, bench, "net")
    both = [*latency_rows(BENCH), latency_rows(BENCH, precisions=("int8",))[0]]
    with pytest.raises(LatenciesError, match=r"^2 int8 rows are missing, first that of 3x3 conv"):
        check_covers(read(both), bench, "net")


def test_a_row_of_another_model_is_named() -> None:
    rows = latency_rows(BENCH)
    rows[2]["out_channels"] = "13"
    with pytest.raises(LatenciesError, match=r"row 4: model 'net' has no 3x3 conv .* from 8 to 13"):
        check_covers(read(rows), Bench.model_validate(BENCH), "net")


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"mode": "budget", "latency": 0.5, "precision": "int8"}, "no int8 rows: .* --precision"),
        ({"mode": "budget", "latency": 0.5, "batch_size": 8}, "batch size 1, and .* is 8"),
    ],
)
def test_a_config_gets_what_it_asks_for_or_an_error(
    selection: dict[str, Any], message: str
) -> None:
    config = PruneConfig.model_validate({"selection": {**selection, "target": "board"}})
    with pytest.raises(LatenciesError, match=message):
        check_asked(("fp32",), 1, config.selection)


@pytest.mark.parametrize("more", [{"target": "board"}, {"precision": "int8"}])
def test_a_target_without_latencies_in_the_config_is_refused(more: dict[str, str]) -> None:
    for selection in ({"mode": "budget", "macs": 0.5}, {"mode": "accuracy"}, {"mode": "steepness"}):
        with pytest.raises(ValueError, match="about latencies, and none counts here"):
            PruneConfig.model_validate({"selection": {**selection, **more}})
    for selection in ({"mode": "budget", "latency": 0.5}, {"mode": "ratio", "ratio": 0.5}):
        right = {**selection, "round_to": "auto", **more}
        PruneConfig.model_validate({"selection": right, "precision": {"kind": "int8"}})
