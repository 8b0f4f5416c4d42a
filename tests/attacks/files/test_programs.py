"""Hostile ``.pt2`` files: no code runs, and each file is refused with its reason."""

import functools
import io
import json
import pickle as standard_pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from secateur.engine.program.exported import export
from tests.attacks.files.payloads import expression, pickle
from tests.attacks.files.reading import READ, Case, Cases, ReadingChild, check
from tests.attacks.files.zips import Entry, deflated, written, zip64
from tests.fixtures.networks import SmallNet

FORMAT = "pt2"
GRAPH = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
WEIGHT = "data/weights/weight_0"
LINK = 0o120777
CASES = Cases(FORMAT)
refused, harmless = CASES.refused, CASES.harmless


@functools.cache
def good() -> dict[str, bytes]:
    """Return the entries of an honest file."""
    torch.manual_seed(0)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.export.save(export(SmallNet(), (torch.randn(2, 1, 8, 8),)), buffer)
    with zipfile.ZipFile(buffer) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def entries(**changed: bytes) -> list[Entry]:
    return [Entry(f"m/{name}".encode(), data) for name, data in (good() | changed).items()]


def of(**changed: bytes) -> bytes:
    return written(entries(**changed))


def edited(entry: str, edit: Callable[[Any], object]) -> bytes:
    body = json.loads(good()[entry])
    edit(body)
    return of(**{entry: json.dumps(body).encode()})


def calling(*calls: tuple[str, list[Any], str]) -> bytes:
    """Return a model that first makes these calls: target, arguments, name of the result."""

    def edit(body: Any) -> None:
        body["graph_module"]["graph"]["nodes"][:0] = [
            {
                "target": target,
                "inputs": [{"name": name, "arg": arg, "kind": 1} for name, arg in arguments],
                "outputs": [{"as_tensor": {"name": result}}],
                "metadata": {},
                "name": result,
            }
            for target, arguments, result in calls
        ]

    return edited(GRAPH, edit)


def of_input(target: str, *arguments: tuple[str, Any]) -> bytes:
    """Return a model that first calls an operator on its input."""
    return calling((f"torch.ops.aten.{target}", [("self", X), *arguments], "evil"))


def number(name: str) -> dict[str, Any]:
    return {"as_sym_int": {"as_name": name}}


X = {"as_tensor": {"name": "x"}}


def first_weight(**changed: Any) -> bytes:
    return edited(WEIGHTS, lambda body: body["config"]["conv1.weight"].update(changed))


def first_layout(**changed: Any) -> bytes:
    return edited(
        WEIGHTS, lambda body: body["config"]["conv1.weight"]["tensor_meta"].update(changed)
    )


def ints(*numbers: int) -> list[dict[str, int]]:
    return [{"as_int": each} for each in numbers]


# Code.


@refused("model_rejected", "a pickle, which is not accepted")
def a_pickle(marker: Path) -> bytes:
    return pickle(marker)


@refused("model_rejected", "pickled checkpoint or TorchScript")
def a_checkpoint_of_torch_save(marker: Path) -> bytes:
    return written([Entry(b"archive/data.pkl", pickle(marker)), Entry(b"archive/version", b"3")])


@refused("model_rejected", "TorchScript")
def torchscript_code(marker: Path) -> bytes:
    code = f"def forward(self, x):\n  {expression(marker)}\n".encode()
    return written([Entry(b"m/code/__torch__.py", code), Entry(b"m/data.pkl", pickle(marker))])


@refused("model_rejected", "not a .pt2 file")
def a_legacy_tar_of_pickles(marker: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("storages")
        info.size = len(pickle(marker))
        archive.addfile(info, io.BytesIO(pickle(marker)))
    return buffer.getvalue()


@refused("model_rejected", "conv1.weight: is pickled; only raw tensors")
def a_weight_that_says_it_is_a_pickle(marker: Path) -> bytes:
    body = json.loads(good()[WEIGHTS])
    body["config"]["conv1.weight"]["use_pickle"] = True
    return of(**{WEIGHTS: json.dumps(body).encode(), WEIGHT: pickle(marker)})


@refused("model_rejected", "bytes are not a whole number")
def a_pickle_in_the_place_of_a_weight(marker: Path) -> bytes:
    return of(**{WEIGHT: (pickle(marker) + b"....")[: 4 * (len(pickle(marker)) // 4) + 1]})


@harmless
def sample_inputs_that_are_a_pickle(marker: Path) -> bytes:
    return of(**{"data/sample_inputs/model.pt": pickle(marker)})


@refused("model_rejected", "data/constants/custom_obj_0' is of a kind")
def a_custom_object(marker: Path) -> bytes:
    return of(**{"data/constants/custom_obj_0": pickle(marker)})


@refused("model_rejected", "data/constants/opaque_obj_0' is of a kind")
def an_opaque_constant(marker: Path) -> bytes:
    return of(**{"data/constants/opaque_obj_0": pickle(marker)})


@refused("model_rejected", "'custom_obj_0' is not accepted here")
def a_constant_whose_path_is_a_custom_object(_marker: Path) -> bytes:
    meta = json.loads(good()[WEIGHTS])["config"]["conv1.weight"]
    body = {"config": {"evil": {**meta, "path_name": "custom_obj_0"}}}
    return of(**{CONSTANTS: json.dumps(body).encode()})


@refused("model_rejected", "inputs of kind 'custom_obj'")
def an_input_that_is_a_custom_object(_marker: Path) -> bytes:
    spec = {"custom_obj": {"arg": {"name": "o", "class_fqn": "os.system"}, "custom_obj_name": "o"}}
    return edited(
        GRAPH, lambda body: body["graph_module"]["signature"]["input_specs"].insert(0, spec)
    )


@refused("model_rejected", "data/aotinductor/model.so' is of a kind")
def native_code_of_aotinductor(_marker: Path) -> bytes:
    return of(**{"data/aotinductor/model.so": b"\x7fELF" + bytes(100)})


@refused("model_rejected", "must be a plain symbol")
def a_batch_size_that_is_python(marker: Path) -> bytes:
    def edit(body: Any) -> None:
        sizes = body["graph_module"]["graph"]["tensor_values"]["x"]["sizes"]
        sizes[0]["as_expr"]["expr_str"] = expression(marker)

    return edited(GRAPH, edit)


@harmless
def expressions_that_nobody_needs(marker: Path) -> bytes:
    def edit(body: Any) -> None:
        graph = body["graph_module"]["graph"]
        size = {"as_expr": {"expr_str": expression(marker), "hint": None}}
        graph["sym_int_values"]["evil"] = size
        graph["tensor_values"]["conv2d"]["sizes"] = [size]
        body["range_constraints"][expression(marker)] = {"min_val": 1, "max_val": None}

    return edited(GRAPH, edit)


@refused("model_rejected", "1 outputs, but the output structure has 0")
def an_output_structure_of_a_foreign_type(marker: Path) -> bytes:
    return _foreign_outputs(marker, [])


@harmless
def a_foreign_type_that_holds_the_output(marker: Path) -> bytes:
    """It becomes a tuple: the class is a name that nobody imports."""
    return _foreign_outputs(marker, [{"type": None, "context": None, "children_spec": []}])


def _foreign_outputs(marker: Path, children: list[Any]) -> bytes:
    kind = {"type": "posix.system", "context": f'"touch {marker}"', "children_spec": children}
    tree = json.dumps([1, kind])

    def edit(body: Any) -> None:
        for entry in body["graph_module"]["module_call_graph"]:
            if entry["fqn"] == "":
                entry["signature"]["out_spec"] = tree

    return edited(GRAPH, edit)


FOREIGN = (
    "os.system builtins.eval builtins.exec _operator.attrgetter _operator.methodcaller "
    "_operator.__import__ _operator.pow _operator.concat torch.ops.load_library "
    "torch.ops.aten.load_library.default torch.ops.load_library.default "
    "torch.ops.aten.from_file.default torch.ops.aten.save.default torch.ops.aten.__dict__.default "
    "torch.ops.aten.conv2d.__class__ torch.ops.aten.conv2d.op "
    "torch.ops.prims.inductor_seeds.default "
    "torch.ops.higher_order.while_loop torch._higher_order_ops.wrap.wrap torch.ops.aten..default "
    "torch.ops.aten.relu.default\n torch.ops.aten.add.out torch.ops.aten.relu.out "
    "torch.hub.load torch.load subprocess.run"
).split(" ")


def foreign(target: str) -> Callable[[Path], bytes]:
    """Return a file that calls ``target`` with a command."""

    def make(marker: Path) -> bytes:
        command = {"as_string": f"touch {marker}"}
        return calling((target, [("command", command)], "evil"))

    return make


# The archive.


@refused("model_rejected", "has a name that is not accepted")
def a_windows_path(_marker: Path) -> bytes:
    return written([*entries(), Entry(b"m\\..\\up")])


@refused("model_rejected", "has a name that is not accepted")
def a_name_that_climbs_out_of_its_folder(_marker: Path) -> bytes:
    return written([*entries(), Entry(b"m/data/weights/../../../../up")])


@refused("model_rejected", "is a link or a device")
def a_link_to_the_passwords(_marker: Path) -> bytes:
    return written([e for e in entries() if not e.name.endswith(b"/weight_0")]
                   + [Entry(b"m/data/weights/weight_0", b"/etc/passwd", mode=LINK)])  # fmt: skip


@refused("model_rejected", "entry byteorder occurs twice")
def two_entries_of_one_name(_marker: Path) -> bytes:
    return written([*entries(), Entry(b"m/byteorder", b"big")])


@refused("model_rejected", "is damaged")
def an_entry_of_another_name_in_its_own_header(_marker: Path) -> bytes:
    found = entries()
    found[0].local_name = b"m/data/weights/weight_9"
    return written(found)


@refused("model_rejected", "overlaps another")
def entries_that_share_their_bytes(_marker: Path) -> bytes:
    found = entries()
    twin = Entry(b"m/data/weights/weight_99", b"", offset=0, size=288, packed_size=288)
    return written([*found, twin])


@refused("model_rejected", "or the end of the file")
def an_entry_of_a_terabyte(_marker: Path) -> bytes:
    found = entries()
    found[0].size = found[0].packed_size = 0xFFFFFFFF
    found[0].extra = zip64(2**40, 2**40)
    return written(found)


@refused("model_rejected", "is compressed")
def a_gigabyte_of_zeros_in_a_megabyte(_marker: Path) -> bytes:
    kept = [e for e in entries() if not e.name.endswith(b"/weight_0")]
    return written([*kept, deflated(b"m/data/weights/weight_0", bytes(2**24))])


@refused("model_rejected", "is compressed")
def an_unusual_compression(_marker: Path) -> bytes:
    found = entries()
    found[0].method = 12
    return written(found)


@refused("model_rejected", "is encrypted")
def an_encrypted_entry(_marker: Path) -> bytes:
    found = entries()
    found[0].flags = 1
    return written(found)


@refused("model_rejected", "bytes before the first entry")
def an_executable_with_a_model_behind_it(_marker: Path) -> bytes:
    return written(entries(), prefix=b"\x7fELF" + bytes(60))


@refused("model_rejected", "bytes before the first entry")
def a_pickle_with_a_model_behind_it(marker: Path) -> bytes:
    return written(entries(), prefix=pickle(marker))


@refused("model_rejected", "a comment, or bytes after the end")
def a_comment_on_the_archive(_marker: Path) -> bytes:
    return written(entries(), comment=b"#!/bin/sh")


@refused("model_rejected", "a comment, or bytes after the end")
def bytes_after_the_end(_marker: Path) -> bytes:
    return of() + bytes(100)


@refused("model_rejected", "not a .pt2 file")
def a_directory_larger_than_the_file(_marker: Path) -> bytes:
    return written(entries(), directory_size=2**20)


@refused("too_large", "the archive's directory has")
def a_directory_of_a_few_entries_and_many_megabytes(_marker: Path) -> bytes:
    padding = b"\x99\x99" + (60_000).to_bytes(2, "little") + bytes(60_000)
    return written([*entries(), *[Entry(b"m/version", extra=padding)] * 180])


@refused("too_large", "the archive has 20030 entries, at most 20000")
def more_entries_than_objects_fit_into_memory(_marker: Path) -> bytes:
    one = [Entry(b"m/version")] * 20_001
    return written([*entries(), *one])


@refused("model_rejected", "the archive is empty")
def an_archive_without_entries(_marker: Path) -> bytes:
    return written([])


@refused("model_rejected", "not a .pt2 file")
def names_that_are_not_text(_marker: Path) -> bytes:
    return written([Entry(b"m/\xff\xfe", flags=0x800), *entries()])


# JSON.


@refused("model_rejected", "is not valid JSON")
def a_number_that_is_not_one(_marker: Path) -> bytes:
    return of(**{GRAPH: good()[GRAPH].replace(b'"as_int": 1}', b'"as_int": NaN}', 1)})


@refused("model_rejected", "a key occurs twice")
def a_key_twice_where_the_second_counts(_marker: Path) -> bytes:
    twice = b'"use_pickle": false, "use_pickle": false'
    return of(**{WEIGHTS: good()[WEIGHTS].replace(b'"use_pickle": false', twice, 1)})


@refused("model_rejected", "is not valid JSON")
def a_graph_that_is_not_utf8(_marker: Path) -> bytes:
    return of(**{GRAPH: good()[GRAPH].replace(b"conv2d", b"conv\xc3(", 1)})


@refused("model_rejected", "is not valid JSON")
def objects_in_objects_in_objects(_marker: Path) -> bytes:
    return of(**{GRAPH: b'{"a":' * 200_000})


@refused("model_rejected", "is not valid JSON")
def a_number_of_a_million_digits(_marker: Path) -> bytes:
    return of(**{GRAPH: b"9" * 10**6})


@refused("too_large", f"entry {GRAPH} has")
def a_graph_of_more_json_than_is_read(_marker: Path) -> bytes:
    return of(**{GRAPH: good()[GRAPH] + b" " * 64 * 1024**2})


@refused("too_large", "entry byteorder has")
def a_byte_order_of_many_megabytes(_marker: Path) -> bytes:
    return of(byteorder=b"l" * (64 * 1024**2 + 1))


@refused("model_rejected", "is used before it is defined")
def a_call_that_needs_its_own_result(_marker: Path) -> bytes:
    me = {"as_tensor": {"name": "evil"}}
    return calling(("torch.ops.aten.relu.default", [("self", me)], "evil"))


# Tensors.


@refused("model_rejected", "needs more than the 72 elements that are stored")
def strides_that_leave_the_bytes(_marker: Path) -> bytes:
    return first_layout(strides=ints(2**39, 9, 3, 1))


@refused("model_rejected", "needs more than the 72 elements that are stored")
def a_million_elements_in_one(_marker: Path) -> bytes:
    return first_layout(sizes=ints(1000, 1000, 1, 1), strides=ints(0, 0, 0, 0))


@refused("model_rejected", "is not a whole number from 0")
def a_negative_size(_marker: Path) -> bytes:
    return first_layout(sizes=ints(-8, 1, 3, 3))


@refused("model_rejected", "is not a whole number from 0")
def a_negative_offset(_marker: Path) -> bytes:
    return first_layout(storage_offset={"as_int": -1})


@refused("model_rejected", "needs more than the 72 elements that are stored")
def an_offset_behind_the_bytes(_marker: Path) -> bytes:
    return first_layout(storage_offset={"as_int": 72})


@refused("too_large", "elements, at most 1073741824")
def sizes_whose_product_overflows(_marker: Path) -> bytes:
    return first_layout(sizes=ints(*[2**40] * 8), strides=ints(*[0] * 8))


@refused("model_rejected", "is not a whole number from 0")
def a_size_of_more_than_64_bits(_marker: Path) -> bytes:
    return first_layout(sizes=ints(2**64, 1, 3, 3))


@refused("too_large", "elements, at most 1073741824")
def one_entry_shown_as_tensors_without_end(_marker: Path) -> bytes:
    """Four megabytes, a thousand times, each in a shape of its own."""
    meta = json.loads(good()[WEIGHTS])["config"]["conv1.weight"]["tensor_meta"]
    num = 2**20
    config = {
        f"t{i}": {
            "path_name": "tensor_0",
            "is_param": False,
            "use_pickle": False,
            "tensor_meta": {
                **meta,
                "sizes": ints(1, num - i),
                "strides": ints(i, 1),
            },
        }
        for i in range(1100)
    }
    body = json.dumps({"config": config}).encode()
    return of(**{CONSTANTS: body, "data/constants/tensor_0": bytes(4 * num)})


@refused("model_rejected", "has values that are NaN or infinite")
def a_weight_that_is_infinite(_marker: Path) -> bytes:
    return of(**{WEIGHT: b"\x00\x00\x80\x7f" * 72})


def renamed(name: str) -> bytes:
    """Return a model whose first weight has another name."""
    weights, graph = json.loads(good()[WEIGHTS]), json.loads(good()[GRAPH])
    weights["config"][name] = weights["config"].pop("conv1.weight")
    for spec in graph["graph_module"]["signature"]["input_specs"]:
        if spec.get("parameter", {}).get("parameter_name") == "conv1.weight":
            spec["parameter"]["parameter_name"] = name
    return of(**{WEIGHTS: json.dumps(weights).encode(), GRAPH: json.dumps(graph).encode()})


@refused("model_rejected", "has a name reserved by nn.Module")
def a_tensor_that_replaces_a_method(_marker: Path) -> bytes:
    return renamed("forward")


@refused("model_rejected", "the tensor's name")
def a_name_that_ends_the_quotes_of_generated_code(marker: Path) -> bytes:
    """Torch generates ``getattr(self, "NAME")`` for names that are not identifiers, and runs it."""
    return renamed(f'a-").__class__; {expression(marker).replace(".", "")}; ("')


@refused("model_rejected", "the tensor's name")
def a_name_that_is_a_path(_marker: Path) -> bytes:
    return renamed("../../etc/passwd")


@refused("model_rejected", "the tensor's name")
def a_name_that_python_normalises_to_another(_marker: Path) -> bytes:
    return renamed("\uff46orward.weight")


@refused("model_rejected", "the tensor's name")
def a_name_that_is_written_from_right_to_left(_marker: Path) -> bytes:
    return renamed("conv1\u202e.weight")


# Work and memory.


@refused("too_large", "bytes for its values at aten.full.default")
def a_constant_of_a_terabyte(_marker: Path) -> bytes:
    size = [("size", {"as_ints": [2**38]}), ("fill_value", {"as_float": 1.0})]
    return calling(("torch.ops.aten.full.default", size, "evil"))


@refused("too_large", "bytes for its values at aten.arange.default")
def counting_to_a_trillion(_marker: Path) -> bytes:
    return calling(("torch.ops.aten.arange.default", [("end", {"as_int": 10**12})], "evil"))


@refused("too_large", "bytes for its values at aten.repeat.default")
def an_input_repeated_without_end(_marker: Path) -> bytes:
    return of_input("repeat.default", ("repeats", {"as_ints": [1, 2**30, 1, 1]}))


@refused("too_large", "bytes for its values at aten.zeros.default")
def a_tensor_kept_beside_every_other(_marker: Path) -> bytes:
    size = [("size", {"as_ints": [2**31]})]
    return calling(("torch.ops.aten.zeros.default", size, "evil"))


@refused("too_large", "makes 1048576 parts, at most 10000")
def a_value_cut_into_a_million_parts(_marker: Path) -> bytes:
    many = [("size", {"as_ints": [2**20]})]
    return calling(
        ("torch.ops.aten.zeros.default", many, "wide"),
        ("torch.ops.aten.unbind.int", [("self", {"as_tensor": {"name": "wide"}})], "evil"),
    )


@refused("too_large", "parts, at most 10000")
def a_value_cut_into_empty_parts(_marker: Path) -> bytes:
    return of_input("tensor_split.sections", ("sections", {"as_int": 2**40}))


@refused("too_large", "makes a number past 9223372036854775807")
def a_number_squared_again_and_again(_marker: Path) -> bytes:
    """Forty squares of ten have 4 10^12 digits."""
    first = {"as_int": 10}
    squares = [
        ("_operator.mul", [("", number(f"n{i - 1}") if i else first)] * 2, f"n{i}")
        for i in range(40)
    ]
    return calling(*squares)


@refused("model_rejected", "not numbers")
def a_string_formatted_to_a_gigabyte(_marker: Path) -> bytes:
    return calling(
        ("_operator.mod", [("", {"as_string": "%1000000000d"}), ("", {"as_int": 5})], "evil")
    )


@refused("model_rejected", "not numbers")
def a_list_of_a_billion(_marker: Path) -> bytes:
    return calling(("_operator.mul", [("", {"as_ints": [0]}), ("", {"as_int": 10**9})], "evil"))


@refused("model_rejected", "does not accept its arguments")
def a_division_by_zero(_marker: Path) -> bytes:
    return calling(("_operator.floordiv", [("", {"as_int": 1}), ("", {"as_int": 0})], "evil"))


@refused("too_large", "multiply-accumulates for one sample, at most 1000000000000")
def a_product_that_takes_a_day(_marker: Path) -> bytes:
    def zeros(name: str) -> tuple[str, list[Any], str]:
        return ("torch.ops.aten.zeros.default", [("size", {"as_ints": [2**14, 2**14]})], name)

    sides = [("self", {"as_tensor": {"name": "a"}}), ("mat2", {"as_tensor": {"name": "b"}})]
    return calling(zeros("a"), zeros("b"), ("torch.ops.aten.mm.default", sides, "evil"))


@refused("too_large", "multiply-accumulates for one sample, at most 1000000000000")
def a_product_spelled_as_an_einsum(_marker: Path) -> bytes:
    def zeros(name: str) -> tuple[str, list[Any], str]:
        return ("torch.ops.aten.zeros.default", [("size", {"as_ints": [2**14, 2**14]})], name)

    both = {"as_tensors": [{"name": "a"}, {"name": "b"}]}
    arguments = [("equation", {"as_string": "ij,jk"}), ("tensors", both)]
    return calling(zeros("a"), zeros("b"), ("torch.ops.aten.einsum.default", arguments, "evil"))


@refused("too_large", "multiply-accumulates for one sample, at most 1000000000000")
def pooling_windows_as_large_as_the_image(_marker: Path) -> bytes:
    arguments = [
        ("self", {"as_tensor": {"name": "wide"}}),
        ("kernel_size", {"as_ints": [2**12, 2**12]}),
        ("stride", {"as_ints": [1, 1]}),
    ]
    return calling(
        ("torch.ops.aten.zeros.default", [("size", {"as_ints": [1, 1, 2**13, 2**13]})], "wide"),
        ("torch.ops.aten.max_pool2d.default", arguments, "evil"),
    )


def sentence(case: Case) -> str:
    return case.sentence


@pytest.mark.parametrize("case", CASES.found, ids=sentence)
def test_a_hostile_program_runs_nothing_and_is_refused(
    case: Case, child: ReadingChild, tmp_path: Path
) -> None:
    check(case, FORMAT, child, tmp_path)


@pytest.mark.parametrize("target", FOREIGN)
def test_a_call_of_anything_that_is_not_a_known_operator_is_refused(
    target: str, child: ReadingChild, tmp_path: Path
) -> None:
    case = Case(foreign(target), "unsupported_op", "is not an accepted operator", {}, {})
    check(case, FORMAT, child, tmp_path)


def test_the_payloads_work_outside_of_the_reader(tmp_path: Path) -> None:
    """A marker that stays away proves nothing unless the payloads are live."""
    standard_pickle.loads(pickle(tmp_path / "pickle"))  # noqa: S301  # our own
    eval(expression(tmp_path / "expression"))  # noqa: S307  # our own
    assert {path.name for path in tmp_path.iterdir()} == {"pickle", "expression"}


def rank_five() -> bytes:
    shape = [("shape", {"as_ints": [-1, 1, 8, 8, 1]})]
    return of_input("reshape.default", *shape)


NUM_ELEMENTS = sum(len(v) // 4 for k, v in good().items() if "/weight_" in k and len(v) > 8) + 3
# Of each limit: the honest file's own value, and what is said one below it.
LIMITS: dict[str, tuple[Callable[[], bytes], int, str]] = {
    "model_members": (of, len(good()), "entries, at most"),
    "graph_bytes": (of, len(good()[GRAPH]), f"entry {GRAPH} has"),
    "graph_nodes": (of, 12, "12 calls, at most 11"),
    "tensor_rank": (rank_five, 5, "of rank 5, at most 4"),
    "tensor_elements": (of, NUM_ELEMENTS, "elements, at most"),
    "activation_bytes": (
        of,
        # Input and result, their copies in blocks of 16 channels, twice, and that of the weight.
        4 * (2 * (2 * 8 * 8 * 8) + 2 * 2 * (2 * 16 * 8 * 8) + 16 * 16 * 9),
        "bytes for its values at aten.conv2d.default",
    ),
    "macs": (of, 0, "multiply-accumulates for one sample, at most"),
}


def num_operations() -> int:
    """Return the operations of `SmallNet`, computed by hand."""
    macs = 9 * 8 * 64 + 9 * 8 * 8 * 64 + 9 * 8 * 16 * 16 + 16 * 4
    elements = 7 * 8 * 64 + 3 * 16 * 16 + 16 + 4
    statistics = 8 + 8 + 16  # means and deviations, which batch norm returns for both samples
    return macs + elements + statistics


@pytest.mark.parametrize("name", LIMITS)
def test_a_model_at_a_limit_is_read_and_one_past_it_is_refused(
    name: str, child: ReadingChild
) -> None:
    make, value, words = LIMITS[name]
    value = value or num_operations()
    assert child.read(make(), FORMAT, {name: value}).code == READ
    past = child.read(make(), FORMAT, {name: value - 1})
    assert (past.code, words in past.message) == ("too_large", True), past
