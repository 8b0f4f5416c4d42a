// What files are, by their first bytes. Written by `python -m docs.generate_file_kinds` from
// secateur/core/formats.py and file_kinds.py: change it there. files.js looks files up.

export const TAKEN = {
  "model": "A model is a .pt2 file (torch.export.export, then torch.export.save), or a .safetensors file with the name of its torchvision or timm architecture.",
  "dataset": "A data set is a .npz file with x and y, a .zip of class folders of images, a .tar or .tar.gz of them, or a .parquet file with image bytes."
};

export const ACCEPT = {
  "model": ".pt2,.safetensors",
  "dataset": ".npz,.zip,.tar,.tgz,.gz,.parquet"
};

export const NEED_ARCHITECTURE = [".safetensors"];

export const FILE_KINDS = [
  {
    "name": "pt2",
    "what": "an exported PyTorch program",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)[^/\\n]+/(models/[^/\\n]+\\.json|data/weights/weight_\\d+)(\\n|$)",
    "use": "model"
  },
  {
    "name": "npz",
    "what": "arrays of numbers (.npz)",
    "head": "PK\\x03\\x04",
    "members": "^[^\\n]+\\.npy(\\n|$)",
    "use": "dataset"
  },
  {
    "name": "aotinductor",
    "what": "a compiled AOTInductor package",
    "advice": "It contains machine code and no network to prune. Save the program it was compiled from:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)([^/\\n]+/)?data/aotinductor/"
  },
  {
    "name": "old_pt2",
    "what": "a .pt2 file of an older torch",
    "advice": "Export it again with torch 2.9 or later, whose format has no pickles:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)([^/\\n]+/)?serialized_(exported_program\\.json|state_dict\\.(pt|json))"
  },
  {
    "name": "torchscript",
    "what": "a TorchScript archive (torch.jit.save)",
    "advice": "TorchScript is no longer developed, and torch.export does not read it. With the network's Python class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.jit.load(\"model.pt\").state_dict())\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "^[^/\\n]+/data/\\d+(\\n|$)|(^|\\n)[^/\\n]+/(constants\\.pkl(\\n|$)|code/__torch__)"
  },
  {
    "name": "torch_pickle",
    "what": "a PyTorch pickle (torch.save): a state dict, a checkpoint or a whole network",
    "advice": "Reading a pickle may run code, so pickles are refused. Export the network in the project that has its class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.load(\"weights.pt\", weights_only=True))\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)([^/\\n]+/)?data\\.pkl(\\n|$)"
  },
  {
    "name": "saved_model",
    "what": "a TensorFlow SavedModel",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "members": "(^|\\n|/)(saved_model\\.pb(txt)?)(\\n|$)"
  },
  {
    "name": "keras",
    "what": "a Keras network (.keras)",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)model\\.weights\\.h5(\\n|$)"
  },
  {
    "name": "core_ml",
    "what": "a Core ML package",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "members": "(^|\\n|/)Data/com\\.apple\\.CoreML/"
  },
  {
    "name": "torch_serve",
    "what": "a TorchServe archive (.mar)",
    "advice": "It contains code and weights. Reading a pickle may run code, so pickles are refused. Export the network in the project that has its class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.load(\"weights.pt\", weights_only=True))\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "PK\\x03\\x04",
    "members": "(^|\\n)MAR-INF/"
  },
  {
    "name": "hugging_face",
    "what": "a Hugging Face model folder",
    "advice": "A timm network: send model.safetensors with the architecture timm/NAME. Export other networks:\nmodel = transformers.AutoModelForImageClassification.from_pretrained(\"FOLDER\")\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "members": "(^|\\n)([^/\\n]+/)?((pytorch_model|model)[^/\\n]*\\.(bin|safetensors)|preprocessor_config\\.json|(model\\.safetensors|pytorch_model\\.bin)\\.index\\.json)(\\n|$)"
  },
  {
    "name": "office",
    "what": "an office document",
    "head": "PK\\x03\\x04",
    "members": "^(\\[Content_Types\\]\\.xml|mimetype)(\\n|$)"
  },
  {
    "name": "safetensors",
    "what": "weights (.safetensors)",
    "head": "[^]{6}\\x00\\x00\\{",
    "use": "model"
  },
  {
    "name": "zip",
    "what": "a zip archive",
    "advice": "If the model is inside, unpack it and send the .pt2 file alone.",
    "head": "PK\\x03\\x04",
    "use": "dataset"
  },
  {
    "name": "tar",
    "what": "a tar archive",
    "advice": "If it is an unpacked model's folder, send the .pt2 file instead.",
    "head": "[^]{257}ustar",
    "use": "dataset"
  },
  {
    "name": "tar",
    "what": "a gzip file",
    "advice": "Unpack it, and send its contents.",
    "head": "\\x1f\\x8b",
    "use": "dataset"
  },
  {
    "name": "parquet",
    "what": "a Parquet file",
    "head": "PAR1",
    "use": "dataset"
  },
  {
    "name": "torch_pickle",
    "what": "a PyTorch pickle (torch.save): a state dict, a checkpoint or a whole network",
    "advice": "Reading a pickle may run code, so pickles are refused. Export the network in the project that has its class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.load(\"weights.pt\", weights_only=True))\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\x80[\\x02-\\x05]\\x8a\\nl\\xfc\\x9cF\\xf9 j\\xa8P\\x19"
  },
  {
    "name": "zip",
    "what": "an empty zip archive",
    "head": "PK\\x05\\x06"
  },
  {
    "name": "pickle",
    "what": "a pickle",
    "advice": "Reading a pickle may run code, so pickles are refused. Export the network in the project that has its class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.load(\"weights.pt\", weights_only=True))\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\x80[\\x02-\\x05]"
  },
  {
    "name": "pickle",
    "what": "a pickle",
    "advice": "Reading a pickle may run code, so pickles are refused. Export the network in the project that has its class:\nmodel = MyNetwork()\nmodel.load_state_dict(torch.load(\"weights.pt\", weights_only=True))\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "(\\(dp\\d|\\(lp\\d|ccopy_reg\\n|c__builtin__\\n|cnumpy|ccollections\\n|ctorch)"
  },
  {
    "name": "onnx",
    "what": "an ONNX network",
    "advice": "Secateur writes ONNX files and does not read them, because they cannot be trained again. Export the PyTorch network that the file was made from:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\x08[\\x03-\\x1f]([\\x12\\x1a\\x22][\\x00-\\x7f][ -~]*|[\\x3a\\x42])"
  },
  {
    "name": "saved_model",
    "what": "a TensorFlow SavedModel",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\x08\\x01\\x12"
  },
  {
    "name": "frozen_graph",
    "what": "a frozen TensorFlow graph",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\n[\\x01-\\xff][\\x00-\\x7f]?\\n[\\x01-\\x7f][ -~]{1,127}\\x12[\\x01-\\x7f][A-Z]"
  },
  {
    "name": "tflite",
    "what": "a TensorFlow Lite network",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "[^]{4}TFL3"
  },
  {
    "name": "hdf5",
    "what": "an HDF5 file (a Keras network .h5, or arrays)",
    "advice": "A network: Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")\nArrays: Save the arrays with: numpy.savez(\"data.npz\", x=images, y=labels)",
    "head": "(\\x89HDF|MATLAB 7\\.3)"
  },
  {
    "name": "matlab",
    "what": "a MATLAB file",
    "advice": "Save the arrays with: numpy.savez(\"data.npz\", x=images, y=labels)",
    "head": "MATLAB "
  },
  {
    "name": "gguf",
    "what": "a language model for llama.cpp (GGUF)",
    "advice": "Secateur prunes convolutional networks.",
    "head": "(GGUF|lmgg|tjgg)"
  },
  {
    "name": "tensorrt",
    "what": "a TensorRT engine",
    "advice": "It is compiled. Export the PyTorch network:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "(ftrt|ptrt)"
  },
  {
    "name": "npy",
    "what": "one array of numbers (.npy)",
    "advice": "Save the arrays with: numpy.savez(\"data.npz\", x=images, y=labels)",
    "head": "\\x93NUMPY"
  },
  {
    "name": "idx",
    "what": "an IDX file of MNIST",
    "advice": "Read images and labels, for example with torchvision.datasets.MNIST. Save the arrays with: numpy.savez(\"data.npz\", x=images, y=labels)",
    "head": "\\x00\\x00[\\x08\\x09\\x0b-\\x0e][\\x01-\\x04]\\x00"
  },
  {
    "name": "arrow",
    "what": "an Arrow or Feather file",
    "advice": "Write it as Parquet: pyarrow.parquet.write_table(table, \"data.parquet\")",
    "head": "(ARROW1|FEA1)"
  },
  {
    "name": "image",
    "what": "one image",
    "advice": "A data set needs many: make a folder for each class, and zip the folders. To classify one image, send it to /infer.",
    "head": "(\\x89PNG|\\xff\\xd8\\xff|GIF8|RIFF[^]{4}WEBP|BM[^]{4}\\x00\\x00\\x00\\x00|II\\*\\x00|MM\\x00\\*|[^]{4}ftyp(heic|heix|mif1|avif))"
  },
  {
    "name": "video",
    "what": "a video",
    "advice": "Extract images from it, and make a folder for each class.",
    "head": "([^]{4}ftyp|RIFF[^]{4}AVI |\\x1aE\\xdf\\xa3)"
  },
  {
    "name": "bzip2",
    "what": "a bzip2 file",
    "advice": "A compressed tar must be a .tar.gz.",
    "head": "BZh[1-9]"
  },
  {
    "name": "xz",
    "what": "an xz file",
    "advice": "A compressed tar must be a .tar.gz.",
    "head": "\\xfd7zXZ\\x00"
  },
  {
    "name": "zstandard",
    "what": "a Zstandard file",
    "advice": "A compressed tar must be a .tar.gz.",
    "head": "\\x28\\xb5\\x2f\\xfd"
  },
  {
    "name": "7z",
    "what": "a 7z archive",
    "advice": "Pack it as .zip or .tar.gz.",
    "head": "7z\\xbc\\xaf"
  },
  {
    "name": "rar",
    "what": "a RAR archive",
    "advice": "Pack it as .zip or .tar.gz.",
    "head": "Rar!\\x1a"
  },
  {
    "name": "sqlite",
    "what": "an SQLite database",
    "head": "SQLite format 3"
  },
  {
    "name": "program",
    "what": "an executable program",
    "head": "(\\x7fELF|MZ[\\x00-\\xff])"
  },
  {
    "name": "pdf",
    "what": "a PDF document",
    "head": "%PDF"
  },
  {
    "name": "git_lfs",
    "what": "a Git LFS pointer, not the file that it points to",
    "advice": "Fetch the file with: git lfs pull",
    "head": "version \\S+(git-lfs|hawser)\\S*/spec/"
  },
  {
    "name": "git_annex",
    "what": "a git-annex pointer, not the file that it points to",
    "advice": "Fetch the file with: git annex get",
    "head": "/annex/objects/"
  },
  {
    "name": "html",
    "what": "a web page (HTML)",
    "advice": "A download returned a page instead of the file, such as a 404 or a login page. Open the address in a browser, and download the file again with: curl -fLO ADDRESS",
    "head": "(\\xef\\xbb\\xbf)?\\s*<(![dD][oO][cC][tT][yY][pP][eE]\\s+[hH]|[hH][tT][mM][lL]|[hH][eE][aA][dD])"
  },
  {
    "name": "openvino",
    "what": "an OpenVINO network",
    "advice": "Secateur reads networks from PyTorch. Rebuild the network there (torchvision and timm have the common ones), load the weights, and export it:\nx = torch.rand(2, 3, 224, 224)  # an example input: two samples\nep = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim(\"batch\", min=1)},))\ntorch.export.save(ep, \"model.pt2\")",
    "head": "\\s*(<\\?xml[^>]*>)?\\s*<net[ >]"
  },
  {
    "name": "xml",
    "what": "an XML document",
    "advice": "Get the file itself from its source.",
    "head": "(\\xef\\xbb\\xbf)?\\s*<(\\?xml|Error)"
  },
  {
    "name": "form",
    "what": "a URL-encoded form, as sent by curl -d",
    "advice": "curl -d changes the bytes of a file: use --data-binary @FILE.",
    "head": "[A-Za-z_]+=%"
  },
  {
    "name": "json",
    "what": "JSON text",
    "advice": "It may be an error message instead of a download. To send a file: --data-binary @FILE",
    "head": "(\\xef\\xbb\\xbf)?\\s*[{\\[]\\s*[\\\"{\\[\\]}\\d-]"
  },
  {
    "name": "text",
    "what": "text",
    "advice": "curl -d sends its argument as text, and changes the bytes of a file: use --data-binary @FILE.",
    "head": "(\\xef\\xbb\\xbf)?[\\t\\n\\r -~\\x80-\\xff]{1,64}$|(\\xef\\xbb\\xbf)?[\\t\\n\\r -~]{64}"
  }
];
