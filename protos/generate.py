"""Generates the Python code of the contract: ``python protos/generate.py`` (``make proto``); ``--check`` fails on a difference.

``--image FILE`` writes what ``buf lint`` and ``buf breaking`` read; ``--baseline`` accepts the contract as it is into
``baseline.binpb``, against which later ones are compared (``buf breaking image.binpb --against baseline.binpb``, in this folder).

protovalidate ships its schema as a descriptor, not as text, so the files are compiled against a descriptor set that
holds it beside Google's well-known types.
"""

from __future__ import annotations

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, timestamp_pb2
from google.rpc import error_details_pb2, status_pb2
from google.type import date_pb2
from protovalidate._gen.buf.validate import validate_pb

ROOT = Path(__file__).parent
BASELINE = ROOT / "baseline.binpb"
VALIDATE = "buf/validate/validate.proto"
GENERATED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def sources() -> list[str]:
    """Return the contract's files, relative to this folder."""
    return sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "safeguarding").rglob("*.proto"))


def dependencies() -> descriptor_pb2.FileDescriptorSet:
    """Return the descriptors of every file the contract imports, each after what it imports itself."""
    wanted = descriptor_pb2.FileDescriptorSet()
    seen: set[str] = set()

    def add(file: Any) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name not in seen:
            seen.add(file.name)
            wanted.file.add().ParseFromString(file.serialized_pb)

    for module in (descriptor_pb2, timestamp_pb2, error_details_pb2, status_pb2, date_pb2):
        add(module.DESCRIPTOR)
    for known in ("duration", "field_mask"):
        add(__import__(f"google.protobuf.{known}_pb2", fromlist=["DESCRIPTOR"]).DESCRIPTOR)
    wanted.file.add().ParseFromString(validate_pb.desc().proto.to_binary())
    return wanted


def protoc(*arguments: str) -> None:
    """Run the compiler over the contract; raise on any error."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as known:
        known.write(dependencies().SerializeToString())
        known.flush()
        command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}", f"--descriptor_set_in={known.name}", *arguments]
        plugins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        subprocess.run(command, check=True, env={**os.environ, "PATH": plugins})  # noqa: S603  # our own compiler with our own arguments


def generate(out: Path) -> None:
    """Write the Python modules and type stubs below ``out``."""
    protoc(f"--python_out={out}", f"--mypy_out=quiet:{out}", VALIDATE, *sources())
    protoc(
        f"--grpc_python_out={out}", f"--mypy_grpc_out=quiet:{out}", *(name for name in sources() if "service " in (ROOT / name).read_text())
    )


def image(out: Path, *, comments: bool = True) -> None:
    """Write the descriptor image that ``buf lint`` and ``buf breaking`` read."""
    out.parent.mkdir(parents=True, exist_ok=True)
    protoc("--include_imports", *(("--include_source_info",) if comments else ()), f"-o{out}", *sources())


def differences(fresh: Path) -> list[str]:
    """Return the generated files that differ from, or are missing in, the committed ones."""
    made = {path.relative_to(fresh) for pattern in GENERATED for path in fresh.rglob(pattern)}
    kept = {path.relative_to(ROOT) for pattern in GENERATED for path in ROOT.rglob(pattern)}
    return sorted(str(name) for name in made | kept if name not in made & kept or not filecmp.cmp(fresh / name, ROOT / name, shallow=False))


def main() -> None:
    """Generate, check, or write the image."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="change nothing; exit 1 if the committed code is not what the contract generates"
    )
    parser.add_argument("--image", type=Path, help="write the descriptor image here instead")
    parser.add_argument("--baseline", action="store_true", help="write baseline.binpb instead: from now on the contract may only grow")
    options = parser.parse_args()
    if options.baseline:
        image(BASELINE, comments=False)
    elif options.image:
        image(options.image)
    elif options.check:
        with tempfile.TemporaryDirectory() as folder:
            generate(Path(folder))
            changed = differences(Path(folder))
        if changed:
            sys.exit("generated code is out of date, run make proto: " + ", ".join(changed))
    else:
        generate(ROOT)


if __name__ == "__main__":
    main()
