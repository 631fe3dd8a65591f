"""What `import fastmel` promises: a light import, public names that exist, types, one version."""

import ast
import re
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files

import pytest

import fastmel

HEAVY = ("numba", "llvmlite", "scipy", "soundfile", "soxr", "matplotlib", "librosa")


def modules_after(statement):
    """Names of the modules that a new interpreter holds after a statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", code], text=True).split())


def test_import_loads_nothing_heavy():
    assert modules_after("import fastmel").isdisjoint(HEAVY)


def test_a_corpus_is_at_hand_and_loads_nothing_heavy():
    assert modules_after("import fastmel; fastmel.corpus.extract").isdisjoint(HEAVY)


def test_looking_at_the_package_loads_nothing_heavy():
    assert modules_after("import fastmel; dir(fastmel); fastmel.__all__").isdisjoint(HEAVY)


def test_the_command_explains_itself_without_anything_heavy():
    statement = "from fastmel.cli import _parser; _parser().format_help()"
    assert modules_after(statement).isdisjoint(HEAVY)


@pytest.mark.parametrize("name", fastmel.__all__)
def test_public_names_resolve(name):
    assert getattr(fastmel, name) is not None
    assert name in dir(fastmel)


def test_public_functions_and_classes_have_docstrings():
    public = [getattr(fastmel, name) for name in fastmel.__all__ if not name.startswith("_")]
    assert [thing for thing in public if not thing.__doc__] == []


def test_unknown_names_raise_attribute_error():
    with pytest.raises(AttributeError, match="module 'fastmel' has no attribute 'melspectrogramm'"):
        fastmel.melspectrogramm  # noqa: B018


def test_version_is_the_distribution_s():
    assert fastmel.__version__ == version("fastmel")


def test_types_are_shipped():
    assert files("fastmel").joinpath("py.typed").is_file()


def test_type_checkers_see_what_is_imported_lazily():
    tree = ast.parse(files("fastmel").joinpath("__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {(node.module, name.name) for node in block.body for name in node.names}
    homes = {(f"fastmel.{module}", name) for name, module in fastmel._HOME.items()}
    assert seen == homes | {("fastmel", module) for module in fastmel._MODULES}


def test_the_kernels_say_what_each_file_serves():
    folder = files("fastmel.kernels")
    listed = re.findall(r"^- ``(\w+)``:", folder.joinpath("__init__.py").read_text(), re.MULTILINE)
    names = [file.name for file in folder.iterdir() if file.name.endswith(".py")]
    assert listed == sorted(name.removesuffix(".py") for name in names if name[0] != "_")
