"""The strict reader on files from torch's own writer and on hostile files."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import DenseNet, MobileNetV2, ResNet
from torchvision.models.resnet import BasicBlock

from secateur.engine.errors import EngineError, ModelRejectedError, UnsupportedOpError
from secateur.engine.plan import fingerprint
from secateur.engine.program.exported import export
from secateur.engine.program.module import ProgramModule
from secateur.engine.program.reader import read_program
from secateur.engine.program.writer import write_program
from tests.fixtures.networks import SmallNet, program_of, randomise

GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
_SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "model.pt2"
    torch.manual_seed(0)
    torch.export.save(export(randomise(SmallNet()), (torch.randn(2, 1, 8, 8),)), path)
    return path


def rewrite(
    source: Path,
    target: Path,
    change: Callable[[dict[str, bytes]], None] = lambda _entries: None,
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """Copy an archive entry by entry, with changes."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].split("/")[0]
        entries = {n.removeprefix(root + "/"): archive.read(n) for n in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"{root}/{name}", data)
    return target


def edit_json(entry: str, edit: Callable[[Any], None]) -> Callable[[dict[str, bytes]], None]:
    def change(entries: dict[str, bytes]) -> None:
        body = json.loads(entries[entry])
        edit(body)
        entries[entry] = json.dumps(body).encode()

    return change


def nodes(body: Any) -> Any:
    return body["graph_module"]["graph"]["nodes"]


def first_weight(body: Any) -> Any:
    return body["config"]["conv1.weight"]


def retarget(target: str) -> Callable[[Any], None]:
    return lambda body: nodes(body)[0].update(target=target)


def set_weight(**values: Any) -> Callable[[Any], None]:
    return lambda body: first_weight(body).update(values)


def set_meta(**values: Any) -> Callable[[Any], None]:
    return lambda body: first_weight(body)["tensor_meta"].update(values)


HOSTILE: dict[str, Callable[[dict[str, bytes]], None]] = {
    "a call of os.system": edit_json(GRAPH, retarget("os.system")),
    "a call of builtins.eval": edit_json(GRAPH, retarget("builtins.eval")),
    "a call of a custom operator": edit_json(GRAPH, retarget("torch.ops.mylib.evil.default")),
    "a call of a method": edit_json(GRAPH, retarget("torch.ops.aten.conv2d.__class__")),
    "an operator that loads files": edit_json(GRAPH, retarget("torch.ops.aten.from_file.default")),
    "a pickled weight": edit_json(WEIGHTS, set_weight(use_pickle=True)),
    "a weight outside the archive": edit_json(WEIGHTS, set_weight(path_name="../../etc/passwd")),
    "more elements than bytes": edit_json(WEIGHTS, set_meta(sizes=[{"as_int": 2**30}] * 2)),
    "overlapping elements": edit_json(
        WEIGHTS,
        set_meta(sizes=[{"as_int": 10**6}], strides=[{"as_int": 0}]),
    ),
    "an offset past the end": edit_json(WEIGHTS, set_meta(storage_offset={"as_int": 10**9})),
    "a negative stride": edit_json(WEIGHTS, set_meta(strides=[{"as_int": -1}] * 4)),
    "a sparse layout": edit_json(WEIGHTS, set_meta(layout=1)),
    "an unknown dtype": edit_json(WEIGHTS, set_meta(dtype=99)),
    "a size that is an expression": edit_json(
        WEIGHTS,
        set_meta(sizes=[{"as_expr": {"expr_str": "__import__('os')"}}] * 4),
    ),
    "a custom object": edit_json(
        GRAPH,
        lambda body: body["graph_module"]["graph"].update(custom_obj_values={"a": {}}),
    ),
    "an old schema": edit_json(GRAPH, lambda body: body["schema_version"].update(major=5)),
    "an AOTInductor entry": lambda e: e.update({"data/aotinductor/model/model.so": b"\x7fELF"}),
    "a file beside the model": lambda e: e.update({"extra/readme": b"hello"}),
    "a second model": lambda e: e.update({"models/other.json": b"{}"}),
    "a big-endian file": lambda e: e.update({"byteorder": b"big"}),
    "no graph": lambda e: e.pop(GRAPH) and None,
    "no weight": lambda e: e.pop("data/weights/weight_0") and None,
    "JSON that nests too deeply": lambda e: e.update({GRAPH: b"[" * 100_000}),
    "JSON with a key twice": lambda e: e.update({GRAPH: b'{"a": 1, "a": 2}'}),
    "JSON that is not UTF-8": lambda e: e.update({GRAPH: b"\xff\xfe"}),
    "values used before they are made": edit_json(
        GRAPH,
        lambda body: nodes(body).reverse(),
    ),
    "weights that are NaN": lambda e: e.update({"data/weights/weight_0": b"\xff" * 288}),
    "a tensor name with a path": edit_json(
        WEIGHTS, lambda body: body["config"].update({"../x": first_weight(body)})
    ),
}


def test_files_saved_by_torch_are_read_exactly(good: Path) -> None:
    program = read_program(good)
    torch.manual_seed(0)
    model = randomise(SmallNet())
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(ProgramModule(program).eval()(x), model(x))
    assert program.tensors.keys() == model.state_dict().keys()
    assert program.inputs[0].shape == (None, 1, 8, 8)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet": lambda: ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10),
    "mobilenet": lambda: MobileNetV2(10, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 2, 2]]),
    "densenet": lambda: DenseNet(8, (2, 2, 2, 2), 16, num_classes=10),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_written_files_can_be_read_by_torch_and_by_us(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    program = program_of(NETWORKS[name]())
    write_program(program, tmp_path / "a.pt2")
    again = read_program(tmp_path / "a.pt2")
    assert fingerprint(again) == fingerprint(program)
    x = program.example_inputs(3)
    with torch.no_grad():
        expected = ProgramModule(program).eval().run(x)[0]
        assert torch.equal(ProgramModule(again).eval().run(x)[0], expected)
        loaded = torch.export.load(tmp_path / "a.pt2").module()  # ours, so torch may open it
        assert torch.equal(loaded(*x), expected)


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused_with_a_reason(
    change: Callable[[dict[str, bytes]], None], good: Path, tmp_path: Path
) -> None:
    path = rewrite(good, tmp_path / "bad.pt2", change)
    with pytest.raises(ModelRejectedError) as error:
        read_program(path)
    assert len(str(error.value)) > 10


def test_a_compressed_archive_is_refused(good: Path, tmp_path: Path) -> None:
    path = rewrite(good, tmp_path / "bad.pt2", compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelRejectedError, match="compressed"):
        read_program(path)


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "model/../../up", "model/a\x00b"])
def test_a_name_that_leaves_the_archive_is_refused(name: str, good: Path, tmp_path: Path) -> None:
    path = rewrite(good, tmp_path / "bad.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(zipfile.ZipInfo(name), b"x")
    with pytest.raises(ModelRejectedError):
        read_program(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_entry_that_occurs_twice_is_refused(good: Path, tmp_path: Path) -> None:
    path = rewrite(good, tmp_path / "bad.pt2")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(archive.namelist()[0], b"x")
    with pytest.raises(ModelRejectedError, match="twice"):
        read_program(path)


def test_pickles_and_other_files_are_named_with_the_way_out(tmp_path: Path, good: Path) -> None:
    marker = tmp_path / "executed"
    pickle = b"cposix\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR."
    files = {
        "pickle": b"\x80\x04" + pickle,
        "protocol 0": pickle,
        "garbage": b"\x00" * 100,
        "empty": b"",
        "truncated": good.read_bytes()[:2000],
    }
    for name, data in files.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(ModelRejectedError, match=r"torch\.export\.export"):
            read_program(path)
    with zipfile.ZipFile(tmp_path / "checkpoint.pt", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + pickle)
    with pytest.raises(ModelRejectedError, match="TorchScript"):
        read_program(tmp_path / "checkpoint.pt")
    assert not marker.exists()


def test_an_operator_outside_the_vocabulary_is_named_with_its_source_line(tmp_path: Path) -> None:
    class Noisy(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.randn_like(x)

    path = tmp_path / "noisy.pt2"
    torch.export.save(export(Noisy(), (torch.randn(2, 4),)), path)
    with pytest.raises(
        UnsupportedOpError, match=r"randn_like.*test_reader\.py:\d+.*random numbers.*model\.eval"
    ):
        read_program(path)


@settings(max_examples=300, deadline=None, suppress_health_check=_SLOW)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_read_as_it_says(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Flip bytes anywhere: no crash, and never other weights than the checksums vouch for."""
    original = good.read_bytes()
    damaged = bytearray(original)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(damaged) - 1))
        damaged[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.pt2"
    path.write_bytes(damaged)
    try:
        found = read_program(path)
    except EngineError:
        return
    expected = read_program(good)
    assert fingerprint(found) == fingerprint(expected)
    for name, tensor in expected.tensors.items():
        assert torch.equal(found.tensors[name], tensor)


@settings(max_examples=200, deadline=None, suppress_health_check=_SLOW)
@given(data=st.data())
def test_a_graph_with_any_value_replaced_is_refused_or_type_checks(
    data: st.DataObject, good: Path, tmp_path: Path
) -> None:
    """Replace one JSON value anywhere in the graph: nothing but our own errors may come out."""

    def change(entries: dict[str, bytes]) -> None:
        body = json.loads(entries[GRAPH])
        place: Any = body
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            inner = place[key]
            if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
                place[key] = data.draw(
                    st.sampled_from([None, -1, 10**12, "x", [], {}, True, 1.5, [[]], {"as_int": 3}])
                )
                break
            place = inner
        entries[GRAPH] = json.dumps(body).encode()

    path = rewrite(good, tmp_path / "changed.pt2", change)
    try:
        program = read_program(path)
    except EngineError:
        return
    with torch.no_grad():  # what is accepted has shapes that were checked
        ProgramModule(program).eval().run(program.example_inputs(1))


def test_reading_leaves_nothing_behind(good: Path, tmp_path: Path) -> None:
    copy = tmp_path / "only.pt2"
    shutil.copy(good, copy)
    read_program(copy)
    assert list(tmp_path.iterdir()) == [copy]
