"""The public surface of the core is a file under version control, and everything public says what it is."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import occlupose
from occlupose.errors import OccluposeError

SOURCE = Path(occlupose.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
CORE = ("errors", "files", "skeletons", "cameras", "poses", "pose_files")
SURFACE = Path(__file__).with_name("public_api.txt")


def definitions(path: Path) -> Iterator[tuple[str, ast.AST]]:
    """Dotted names and syntax of a module's public classes, functions, constants, and its public classes' fields and
    methods.
    """

    def public(body, prefix):
        for node in body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
            for name in (getattr(target, "name", getattr(target, "id", "_")) for target in targets):
                if not name.startswith("_"):
                    yield prefix + name, node
                    yield from public(node.body, f"{prefix}{name}.") if isinstance(node, ast.ClassDef) else ()

    module = ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts).removesuffix(".__init__")
    yield from public(ast.parse(path.read_text(encoding="utf-8")).body, f"{module}.")


def line(name: str, node: ast.AST) -> str:
    return f"{name}({ast.unparse(node.args)})" if isinstance(node, ast.FunctionDef) else name


def test_the_surface_of_the_core_is_the_committed_one():
    names = [f"occlupose.{name}" for name in sorted(occlupose.__all__)]
    names += [line(*definition) for module in CORE for definition in definitions(SOURCE / f"{module}.py")]
    assert names == SURFACE.read_text(encoding="utf-8").splitlines(), (
        f"a decided change is written down in {SURFACE.name} and CHANGELOG.md"
    )


def functions_and_classes(path: Path) -> Iterator[tuple[str, bool]]:
    """Dotted names of a module's public classes, functions and methods, and whether they have a docstring."""
    for name, node in definitions(path):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield name, ast.get_docstring(node) is not None


@pytest.fixture(scope="module")
def explained_methods() -> set[str]:
    """Names of methods that some class explains, so that those which override it need not; `forward` is torch's."""
    everything = (definition for path in MODULES for definition in functions_and_classes(path))
    return {"forward"} | {
        name.rsplit(".", 1)[1] for name, documented in everything if documented and name.split(".")[-2][0].isupper()
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_every_public_class_and_function_has_a_docstring(path, explained_methods):
    silent = [name for name, documented in functions_and_classes(path) if not documented]
    assert [
        name
        for name in silent
        if not (name.split(".")[-2][0].isupper() and name.rsplit(".", 1)[1] in explained_methods)
    ] == []
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body, "the module has no docstring"


def test_importing_the_package_is_light():
    heavy = (
        "import sys, occlupose; print([name for name in ('numpy', 'torch', 'cv2', 'pydantic') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_the_package_gives_its_names_and_no_others():
    assert occlupose.OccluposeError is OccluposeError and set(occlupose.__all__) == set(dir(occlupose))
    with pytest.raises(AttributeError, match="module 'occlupose' has no attribute 'poseidon'"):
        _ = occlupose.poseidon
