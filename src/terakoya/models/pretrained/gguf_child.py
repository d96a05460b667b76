"""The program that dequantises a GGUF file in a child process (limited_child): it alone reads the file's content."""

# Standard output carries the result, so whatever a library prints goes to standard error. Faults are results: their
# kind decides what the user is advised to do.
PROGRAM = r"""
from contextlib import suppress
from pathlib import Path

request, result, output = json.load(sys.stdin), {}, sys.stdout
sys.stdout = sys.stderr
file, folder = Path(request["file"]), Path(request["folder"])


def finish(**values):
    json.dump(result | values, output)
    output.flush()
    sys.exit(0)


def line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


import torch, transformers
from gguf import GGUFReader, LlamaFileType
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

transformers.utils.logging.set_verbosity_error()
try:
    reader = GGUFReader(file)
    field = lambda key: reader.fields[key].contents() if key in reader.fields else None
    architecture = str(field("general.architecture"))
    kinds = [tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1]
    quantisation = max(sorted(set(kinds)), key=kinds.count)
    with suppress(KeyError, ValueError, TypeError):
        quantisation = LlamaFileType(field("general.file_type")).name.removeprefix("MOSTLY_").removeprefix("ALL_")
    template, parts = field("tokenizer.chat_template"), field("split.count")
except Exception as error:
    finish(fault="damaged", reason=line(error))
result["architecture"] = architecture
if parts and int(parts) > 1:
    finish(fault="part", reason=str(parts))

# The library looks for other files beside the one it is given, so it gets a folder of its own.
alone = folder / "alone"
alone.mkdir()
(alone / "model.gguf").symlink_to(file)
options = {"gguf_file": "model.gguf", "local_files_only": True, "trust_remote_code": False}
try:
    config = transformers.AutoConfig.from_pretrained(alone, **options)
    kind = transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM
    module, report = kind.from_pretrained(alone, dtype=torch.float32, output_loading_info=True, **options)
except Exception as error:
    known = architecture in GGUF_SUPPORTED_ARCHITECTURES or "not supported" not in str(error)
    finish(fault="weights" if known else "architecture", reason=line(error))
if missing := sorted(report["missing_keys"]):
    finish(fault="missing", count=len(missing), reason=missing[0])

# transformers marks a dequantised model as one that cannot be saved.
for holder, name in ((module.config, "quantization_config"), (module, "hf_quantizer"), (module, "is_quantized")):
    with suppress(AttributeError):
        delattr(holder, name)
result["tokenizer"] = ""
try:
    tokenizer = transformers.AutoTokenizer.from_pretrained(alone, **options)
    if tokenizer.chat_template is None and template:
        tokenizer.chat_template = str(template)
    tokenizer.save_pretrained(folder)
except BaseException as error:  # the native library panics with an exception of its own
    result["tokenizer"] = line(error)
module.save_pretrained(folder)
(alone / "model.gguf").unlink()
alone.rmdir()
values = {"architecture": architecture, "quantisation": quantisation, "sha256": request["sha256"]}
(folder / request["record"]).write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
finish()
"""
