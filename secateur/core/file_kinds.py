"""The table of file kinds, recognised by their first bytes or the names inside them.

The client and the command line check files with it before sending, the service before reading the
rest of a body, ``secateur-engine`` before opening a file. Supported kinds come from `formats`;
refused kinds come with advice. ``python -m docs.generate_file_kinds`` writes the table as
JavaScript for the dashboard. `files` looks files up.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from secateur.core.formats import FORMATS, ZIP, Use, suffixes

_NOUNS: dict[Use, str] = {"model": "A model", "dataset": "A data set"}
EXPORT = """\
x = torch.rand(2, 3, 224, 224)  # an example input: two samples
ep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
torch.export.save(ep, "model.pt2")"""  # noqa: E501  # lines to paste
_PICKLE = f"""\
Reading a pickle may run code, so pickles are refused. Export the network in the project that has \
its class:
model = MyNetwork()
model.load_state_dict(torch.load("weights.pt", weights_only=True))
{EXPORT}"""
_ELSEWHERE = f"""\
Secateur reads networks from ONNX and PyTorch. Convert the file to ONNX (tf2onnx, paddle2onnx), \
or rebuild the network in PyTorch, load the weights, and export it:
{EXPORT}"""
_ARRAYS = 'Save the arrays with: numpy.savez("data.npz", x=images, y=labels)'
_TAR_GZ = "A compressed tar must be a .tar.gz."
_NO_DATA = "Get the file itself from its source."


@dataclass(frozen=True)
class FileKind:
    """One kind of file. A file must match both `head` and `members` if both are given.

    Attributes:
        name: The kind's name; for supported kinds the name of the format.
        what: A noun phrase that completes "FILE is".
        advice: How to convert the file into a supported kind.
        head: A pattern that matches the first bytes; see `formats.Look`.
        members: A pattern to search in the names inside a zip or a folder, one per line.
        use: What the kind is supported as; None if it is refused.
    """

    name: str
    what: str
    advice: str = ""
    head: str = ""
    members: str = ""
    use: Use | None = None


_REFUSED: tuple[FileKind, ...] = (
    FileKind(
        "aotinductor",
        "a compiled AOTInductor package",
        "It contains machine code and no network to prune. Save the program it was compiled "
        f"from:\n{EXPORT}",
        head=ZIP,
        members=r"(^|\n)([^/\n]+/)?data/aotinductor/",
    ),
    FileKind(
        "old_pt2",
        "a .pt2 file of an older torch",
        "Export it again with torch 2.9 or later, whose format has no pickles:\n" + EXPORT,
        head=ZIP,
        members=r"(^|\n)([^/\n]+/)?serialized_(exported_program\.json|state_dict\.(pt|json))",
    ),
    FileKind(
        "torchscript",
        "a TorchScript archive (torch.jit.save)",
        f"""\
TorchScript is no longer developed, and torch.export does not read it. With the network's Python \
class:
model = MyNetwork()
model.load_state_dict(torch.jit.load("model.pt").state_dict())
{EXPORT}""",
        head=ZIP,
        members=r"^[^/\n]+/data/\d+(\n|$)|(^|\n)[^/\n]+/(constants\.pkl(\n|$)|code/__torch__)",
    ),
    FileKind(
        "torch_pickle",
        "a PyTorch pickle (torch.save): a state dict, a checkpoint or a whole network",
        _PICKLE,
        head=ZIP,
        members=r"(^|\n)([^/\n]+/)?data\.pkl(\n|$)",
    ),
    FileKind(
        "torch_pickle",
        "a PyTorch pickle (torch.save): a state dict, a checkpoint or a whole network",
        _PICKLE,
        head=r"\x80[\x02-\x05]\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19",
    ),
    FileKind(
        "saved_model",
        "a TensorFlow SavedModel",
        _ELSEWHERE,
        members=r"(^|\n|/)(saved_model\.pb(txt)?)(\n|$)",
    ),
    FileKind(
        "keras",
        "a Keras network (.keras)",
        _ELSEWHERE,
        head=ZIP,
        members=r"(^|\n)model\.weights\.h5(\n|$)",
    ),
    FileKind(
        "core_ml", "a Core ML package", _ELSEWHERE, members=r"(^|\n|/)Data/com\.apple\.CoreML/"
    ),
    FileKind(
        "torch_serve",
        "a TorchServe archive (.mar)",
        f"It contains code and weights. {_PICKLE}",
        head=ZIP,
        members=r"(^|\n)MAR-INF/",
    ),
    FileKind(
        "hugging_face",
        "a Hugging Face model folder",
        f"""\
A timm network: send model.safetensors with the architecture timm/NAME. Export other networks:
model = transformers.AutoModelForImageClassification.from_pretrained("FOLDER")
{EXPORT}""",
        members=r"(^|\n)([^/\n]+/)?((pytorch_model|model)[^/\n]*\.(bin|safetensors)"
        r"|preprocessor_config\.json|(model\.safetensors|pytorch_model\.bin)\.index\.json)(\n|$)",
    ),
    FileKind(
        "office",
        "an office document",
        head=ZIP,
        members=r"^(\[Content_Types\]\.xml|mimetype)(\n|$)",
    ),
    FileKind("zip", "an empty zip archive", head=r"PK\x05\x06"),
    FileKind("pickle", "a pickle", _PICKLE, head=r"\x80[\x02-\x05]"),
    FileKind(
        "pickle",
        "a pickle",
        _PICKLE,
        head=r"(\(dp\d|\(lp\d|ccopy_reg\n|c__builtin__\n|cnumpy|ccollections\n|ctorch)",
    ),
    FileKind("saved_model", "a TensorFlow SavedModel", _ELSEWHERE, head=r"\x08\x01\x12"),
    FileKind(
        "frozen_graph",
        "a frozen TensorFlow graph",
        _ELSEWHERE,
        head=r"\n[\x01-\xff][\x00-\x7f]?\n[\x01-\x7f][ -~]{1,127}\x12[\x01-\x7f][A-Z]",
    ),
    FileKind("tflite", "a TensorFlow Lite network", _ELSEWHERE, head=r"[^]{4}TFL3"),
    FileKind(
        "hdf5",
        "an HDF5 file (a Keras network .h5, or arrays)",
        f"A network: {_ELSEWHERE}\nArrays: {_ARRAYS}",
        head=r"(\x89HDF|MATLAB 7\.3)",
    ),
    FileKind("matlab", "a MATLAB file", _ARRAYS, head=r"MATLAB "),
    FileKind(
        "gguf",
        "a language model for llama.cpp (GGUF)",
        "Secateur prunes convolutional networks.",
        head=r"(GGUF|lmgg|tjgg)",
    ),
    FileKind(
        "tensorrt",
        "a TensorRT engine",
        f"It is compiled. Export the PyTorch network:\n{EXPORT}",
        head=r"(ftrt|ptrt)",
    ),
    FileKind("npy", "one array of numbers (.npy)", _ARRAYS, head=r"\x93NUMPY"),
    FileKind(
        "idx",
        "an IDX file of MNIST",
        "Read images and labels, for example with torchvision.datasets.MNIST. " + _ARRAYS,
        head=r"\x00\x00[\x08\x09\x0b-\x0e][\x01-\x04]\x00",
    ),
    FileKind(
        "arrow",
        "an Arrow or Feather file",
        'Write it as Parquet: pyarrow.parquet.write_table(table, "data.parquet")',
        head=r"(ARROW1|FEA1)",
    ),
    FileKind(
        "image",
        "one image",
        "A data set needs many: make a folder for each class, and zip the folders. To classify "
        "one image, send it to /infer.",
        head=r"(\x89PNG|\xff\xd8\xff|GIF8|RIFF[^]{4}WEBP|BM[^]{4}\x00\x00\x00\x00|II\*\x00"
        r"|MM\x00\*|[^]{4}ftyp(heic|heix|mif1|avif))",
    ),
    FileKind(
        "video",
        "a video",
        "Extract images from it, and make a folder for each class.",
        head=r"([^]{4}ftyp|RIFF[^]{4}AVI |\x1aE\xdf\xa3)",
    ),
    FileKind("bzip2", "a bzip2 file", _TAR_GZ, head=r"BZh[1-9]"),
    FileKind("xz", "an xz file", _TAR_GZ, head=r"\xfd7zXZ\x00"),
    FileKind("zstandard", "a Zstandard file", _TAR_GZ, head=r"\x28\xb5\x2f\xfd"),
    FileKind("7z", "a 7z archive", "Pack it as .zip or .tar.gz.", head=r"7z\xbc\xaf"),
    FileKind("rar", "a RAR archive", "Pack it as .zip or .tar.gz.", head=r"Rar!\x1a"),
    FileKind("sqlite", "an SQLite database", head=r"SQLite format 3"),
    FileKind("program", "an executable program", head=r"(\x7fELF|MZ[\x00-\xff])"),
    FileKind("pdf", "a PDF document", head=r"%PDF"),
    FileKind(
        "git_lfs",
        "a Git LFS pointer, not the file that it points to",
        "Fetch the file with: git lfs pull",
        head=r"version \S+(git-lfs|hawser)\S*/spec/",
    ),
    FileKind(
        "git_annex",
        "a git-annex pointer, not the file that it points to",
        "Fetch the file with: git annex get",
        head=r"/annex/objects/",
    ),
    FileKind(
        "html",
        "a web page (HTML)",
        "A download returned a page instead of the file, such as a 404 or a login page. Open the "
        "address in a browser, and download the file again with: curl -fLO ADDRESS",
        head=r"(\xef\xbb\xbf)?\s*<(![dD][oO][cC][tT][yY][pP][eE]\s+[hH]|[hH][tT][mM][lL]|[hH][eE][aA][dD])",
    ),
    FileKind(
        "openvino",
        "an OpenVINO network",
        _ELSEWHERE,
        head=r"\s*(<\?xml[^>]*>)?\s*<net[ >]",
    ),
    FileKind("xml", "an XML document", _NO_DATA, head=r"(\xef\xbb\xbf)?\s*<(\?xml|Error)"),
    FileKind(
        "form",
        "a URL-encoded form, as sent by curl -d",
        "curl -d changes the bytes of a file: use --data-binary @FILE.",
        head=r"[A-Za-z_]+=%",
    ),
    FileKind(
        "json",
        "JSON text",
        "It may be an error message instead of a download. To send a file: --data-binary @FILE",
        head=r"(\xef\xbb\xbf)?\s*[{\[]\s*[\"{\[\]}\d-]",
    ),
    FileKind(
        "text",
        "text",
        "curl -d sends its argument as text, and changes the bytes of a file: use --data-binary "
        "@FILE.",
        head=r"(\xef\xbb\xbf)?[\t\n\r -~\x80-\xff]{1,64}$|(\xef\xbb\xbf)?[\t\n\r -~]{64}",
    ),
)


def _taken() -> Iterator[FileKind]:
    for use, formats in FORMATS.items():
        for each in formats:
            for look in each.looks:
                yield FileKind(each.name, look.what, look.advice, look.head, look.members, use)


def _sentence(use: Use) -> str:
    *first, last = (each.taken for each in FORMATS[use])
    return f"{_NOUNS[use]} is {', '.join([*first, 'or ' + last]) if first else last}."


TAKEN: dict[Use, str] = {use: _sentence(use) for use in FORMATS}

# A string with one of these suffixes is a path, not an id or a name.
FILE_SUFFIXES = (*suffixes("model"), *suffixes("dataset"), ".pt", ".pth")

# The first match counts. Any zip matches "a zip of images", so kinds with `members` come first.
FILE_KINDS: tuple[FileKind, ...] = tuple(
    sorted((*_taken(), *_REFUSED), key=lambda kind: kind.members == "")
)
