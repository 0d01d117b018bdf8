"""What ruff cannot hold: one statement for one value, and one name for one thing."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import occlupose

ROOT = Path(__file__).parents[2]
SOURCE = Path(occlupose.__file__).parent
SCRIPTS = sorted(path for folder in ("src", "tests", "benchmarks", "docs") for path in (ROOT / folder).rglob("*.py"))


def unpackings(tree: ast.AST) -> Iterator[ast.Assign]:
    """Assignments of a tuple or a generator expression to several targets."""
    for node in ast.walk(tree):
        several = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple | ast.List)
        if several and isinstance(node.value, ast.Tuple | ast.List | ast.GeneratorExp | ast.ListComp):
            yield node


def is_swap(node: ast.Assign) -> bool:
    """Whether the values use what is assigned, so that they cannot be assigned one after the other."""
    targets = {ast.unparse(target) for target in node.targets[0].elts}
    parts = {ast.unparse(part) for part in ast.walk(node.value) if isinstance(part, ast.expr)}
    return isinstance(node.value, ast.Tuple | ast.List) and bool(targets & parts)


def test_values_are_assigned_one_by_one():
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SCRIPTS
        for node in unpackings(ast.parse(path.read_text(encoding="utf-8")))
        if not is_swap(node)
    ]
    assert wrong == []


def test_arrays_of_files_are_read_in_one_place():
    """By `occlupose.npz`, which runs no code and believes no header."""
    places = [path for path in SOURCE.rglob("*.py") if "np.load(" in path.read_text(encoding="utf-8")]
    assert [str(path.relative_to(SOURCE)) for path in places] == ["formats/content.py"]


def test_swaps_and_results_of_functions_may_be_unpacked():
    code = "a, b = 1, 2\na, b = b, a\na, b = (f(x) for x in y)\na, b = divmod(7, 3)"
    assert [is_swap(node) for node in unpackings(ast.parse(code))] == [False, True, False]


def test_no_two_public_classes_have_one_name():
    homes = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].append(str(path.relative_to(SOURCE)))
    assert {name: places for name, places in homes.items() if len(places) > 1} == {}
