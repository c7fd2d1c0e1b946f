"""What pages and docstrings name is there: files, modules and what they define, links, `make` targets, commands."""

from __future__ import annotations

import ast
import io
import pathlib
import re
import tokenize
from collections.abc import Iterator
from functools import cache

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("benchmarks", "cli", "docs", "examples", "infra", "modelpack", "stacks", "tests", ".ci", ".github")
ROOMS = ("benchmarks", "cli", "infra", "modelpack", "stacks")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
SOURCES = sorted(path for folder in FOLDERS for path in ROOT.glob(f"{folder}/**/*.py"))
FILE = re.compile(r"(?<![\w/.*<{}-])([\w.-]+/)*[\w-]+\.py\b(?!\.)")
MODULE = re.compile(rf"(?<![\w/.-])(?:{'|'.join(ROOMS)})(?:\.[A-Za-z_]\w*)+(?::\w+)?")
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)]*))?\)")
FROM_ELSEWHERE = {
    "build_and_package_info.py",  # ONNX Runtime's
    "triton/runtime/build.py",
    "vllm/v1/engine/async_llm.py",
    "file.py",  # any file of a user's
}
CODE = re.compile(r"```.*?```|`[^`]+`", re.DOTALL)


@cache
def tails() -> frozenset[str]:
    """Every file of the repository, from the root and from every folder above it: a path may be told from where the
    reader stands."""
    top = [path.name for path in ROOT.iterdir() if path.is_file()]
    below = [path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    return frozenset(
        [*top, *("/".join(path.parts[depth:]) for path in below for depth in range(len(path.parts)))]
    )


@cache
def names_in(module: pathlib.Path) -> frozenset[str]:
    """What a module defines, imports or is given, at its top."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            found |= {(one.asname or one.name).partition(".")[0] for one in node.names}
    return frozenset(found)


def resolves(dotted: str) -> bool:
    """Whether the longest part that is a module or a package defines what comes behind it."""
    words = re.split(r"[.:]", dotted)
    place = ROOT
    for depth, word in enumerate(words):
        if (place / word).is_dir():
            place = place / word
        elif (place / f"{word}.py").is_file():
            rest = words[depth + 1 :]
            return not rest or rest[0] in names_in(place / f"{word}.py")
        else:
            package = place / "__init__.py"
            return package.is_file() and word in names_in(package)
    return True


def prose(source: pathlib.Path) -> Iterator[str]:
    """Docstrings and comments, and in the product strings that are the name of a module."""
    text = source.read_text()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            if isinstance(node.value.value, str):
                yield node.value.value
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and MODULE.fullmatch(node.value):
            if source.is_relative_to(ROOT / "tests"):
                continue
            yield node.value


def wrong(text: str) -> list[str]:
    missing = [
        path
        for path in (match[0] for match in FILE.finditer(text))
        if not path.startswith("./") and path not in tails() | FROM_ELSEWHERE  # ./shop.py is a user's
    ]
    return missing + [name for name in MODULE.findall(text) if not resolves(name)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_what_a_page_names_is_there(page: pathlib.Path) -> None:
    missing = wrong(page.read_text())
    assert not missing, ", ".join(missing)


def test_what_docstrings_and_comments_name_is_there() -> None:
    found = {
        source.relative_to(ROOT).as_posix(): missing
        for source in SOURCES
        if (missing := [name for text in prose(source) for name in wrong(text)])
    }
    assert not found, "\n".join(f"{source}: {', '.join(missing)}" for source, missing in found.items())


def anchors(page: pathlib.Path) -> set[str]:
    """A heading's anchor as GitHub makes it."""
    headings = re.findall(
        r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE
    )
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: pathlib.Path) -> None:
    lost = []
    for target, anchor in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        place = (page.parent / target).resolve() if target else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            lost.append(f"{target}#{anchor}" if anchor else target)
    assert not lost, ", ".join(lost)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md" or not page.exists():
            continue
        reached.add(page)
        waiting += [
            (page.parent / target).resolve() for target, _ in LINK.findall(page.read_text()) if target
        ]
    assert [page.relative_to(ROOT).as_posix() for page in PAGES if page not in reached] == []


def test_make_targets_of_the_pages_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for code in CODE.findall(page.read_text())
        for target in re.findall(r"\bmake ([a-z-]+)", code)
    }
    assert named - targets == set()


def test_commands_of_the_pages_exist() -> None:
    import typer.main

    from cli.app import application

    group = typer.main.get_group(application())
    known: set[tuple[str, ...]] = {(name,) for name in group.commands}
    for name, command in group.commands.items():
        known |= {(name, inner) for inner in getattr(command, "commands", {})}
    unknown = set()
    for page in PAGES:
        for code in CODE.findall(page.read_text()):
            for first, second in re.findall(r"(?<!from )\becomdeploy ([a-z]+)(?: ([a-z]+))?", code):
                nested = any(len(one) == 2 and one[0] == first for one in known)
                if (first,) not in known or (nested and second and (first, second) not in known):
                    unknown.add(f"{page.name}: ecomdeploy {first} {second}")
    assert unknown == set()


def fields_of(place: str, name: str) -> set[str]:
    """The keys of the document that a result gives, as its source writes them."""
    (result,) = (
        node for node in ast.walk(ast.parse((ROOT / place).read_text())) if getattr(node, "name", "") == name
    )
    (document,) = (node for node in ast.walk(result) if getattr(node, "name", "") == "document")
    written = next(node for node in ast.walk(document) if isinstance(node, ast.Dict))
    return {str(key.value) for key in written.keys if isinstance(key, ast.Constant)}


@pytest.mark.parametrize(
    ("command", "place", "name"),
    [
        ("`up`", "stacks/run.py", "Outcome"),
        ("`plan`", "stacks/plan.py", "Plan"),
        ("`platform up`", "stacks/platform.py", "PlatformOutcome"),
    ],
)
def test_the_page_on_json_names_every_field(command: str, place: str, name: str) -> None:
    (line,) = (
        line for line in (ROOT / "docs/json.md").read_text().splitlines() if line.startswith(f"| {command}")
    )
    told = set(re.findall(r"\w+", "".join(re.findall(r"`([^`]*)`", line.split("|")[2]))))
    assert told == fields_of(place, name)


def test_folders_of_the_pages_exist() -> None:
    folders = {
        path.relative_to(ROOT).as_posix()
        for name in FOLDERS
        for path in (ROOT / name).rglob("*")
        if path.is_dir()
    }
    folders |= set(FOLDERS)
    lost = [
        f"{page.name}: {named}"
        for page in PAGES
        for named in re.findall(r"`([A-Za-z_][\w/-]*)/`", page.read_text())
        if not any(f"/{folder}".endswith(f"/{named}") for folder in folders)
    ]
    assert lost == []


@pytest.mark.parametrize(
    ("page", "folder"),
    [
        ("modelpack", "modelpack"),
        ("image", "modelpack/image"),
        ("server", "modelpack/server"),
        ("infra", "infra"),
        ("engine", "infra/rehearsal/engine"),
        ("local-cloud", "infra/rehearsal/cloud"),
        ("stacks", "stacks"),
    ],
)
def test_the_page_of_a_room_names_its_folders(page: str, folder: str) -> None:
    text = (ROOT / f"docs/architecture/rooms/{page}.md").read_text()
    named = re.findall(r"`(?:[\w-]+/)*([\w-]+)/(?:[\w-]+\.py)?`|\((?:\.\./)*([\w-]+)\.md", text)
    below = {
        path.name for path in (ROOT / folder).iterdir() if path.is_dir() and not path.name.startswith("__")
    }
    assert below - {name for pair in named for name in pair} - {"rehearsal"} == set()


@pytest.mark.parametrize("program", ["base", "service", "platform"])
def test_the_page_of_components_names_what_each_program_gives(program: str) -> None:
    source = (ROOT / f"stacks/programs/{program}/__main__.py").read_text()
    page = (ROOT / "docs/architecture/rooms/infra.md").read_text()
    (line,) = (one for one in page.splitlines() if re.match(rf"\| `{program}` \| .* \| .*\|$", one))
    told = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]*)`", line.split("|")[3]))))
    given = set(re.findall(r'pulumi\.export\("(\w+)"', source))
    assert given
    assert given - told == set()
