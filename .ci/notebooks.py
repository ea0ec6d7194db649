"""The notebooks of examples/: NAME.py, which is edited, and NAME.ipynb, which is read.

    python .ci/notebooks.py           run all, or NAMEs, and write the .ipynb
    python .ci/notebooks.py --check   whether each .ipynb holds the cells of its .py, and nothing that is not to be kept

Outputs are kept, for readers of a page that does not run them; not what says something of the machine alone, which is
the outputs of cells with the tag "machine" and the time that a solution shows. Nor are counts of executions kept.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
MOST = 500_000  # bytes of a notebook
FOREIGN = re.compile(r"/(home|root|tmp|usr|Users|opt|var)/|[A-Z]:\\|site-packages|\b0x[0-9a-f]{6,}|\x1b")
# The time of a solution: in its table, its line, and its explanation.
TIMES = re.compile(r"<tr><th[^>]*>time</th>.*?</tr>|, time=\S+ s on \w+|(?<=float(?:32|64)), \S+ s(?=\.$)", re.M)


def source(path: Path) -> Any:
    """The notebook of a .py, without outputs."""
    notebook = jupytext.read(path)
    notebook.metadata = nbformat.from_dict(METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for i, cell in enumerate(notebook.cells):
        cell.id = f"{path.stem}-{i}"
        cell.metadata = nbformat.from_dict({"tags": cell.metadata.tags} if "tags" in cell.metadata else {})
    return notebook


def run(path: Path) -> None:
    """Write the .ipynb of a .py, with what its cells show."""
    from nbclient import NotebookClient

    notebook, bare = source(path), source(path)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": path.parent}}).execute()
    for cell, want in zip(notebook.cells, bare.cells, strict=True):
        if cell.cell_type == "code" and not is_machine(cell):
            want.outputs = joined(cell.outputs)
    nbformat.write(bare, path.with_suffix(".ipynb"))


def joined(outputs: list[Any]) -> list[Any]:
    """Outputs without counts and times; what was printed in one go, which may come in parts, in one part."""
    kept: list[Any] = []
    for output in outputs:
        if "execution_count" in output:
            output.execution_count = None
        for kind in ("text/html", "text/plain"):
            if kind in output.get("data", {}):
                output.data[kind] = TIMES.sub("", output.data[kind])
        if kept and output.output_type == kept[-1].output_type == "stream" and output.name == kept[-1].name:
            kept[-1].text += output.text
        else:
            kept.append(output)
    for output in kept:
        if output.output_type == "stream":
            output.text = TIMES.sub("", output.text)
    return kept


def is_machine(cell: Any) -> bool:
    return "machine" in cell.metadata.get("tags", [])


def faults(path: Path) -> list[str]:
    """What is wrong with the .ipynb of a .py."""
    paired = path.with_suffix(".ipynb")
    if not paired.exists():
        return [f"there is no {paired.name}"]
    found: list[str] = []
    notebook, want = nbformat.read(paired, 4), source(path)
    nbformat.validate(notebook)
    pairs = list(zip(notebook.cells, want.cells, strict=False))
    if len(notebook.cells) != len(want.cells):
        found.append(f"{len(notebook.cells)} cells, {path.name} has {len(want.cells)}")
    for i, (cell, other) in enumerate(pairs):
        if any(cell[part] != other[part] for part in ("cell_type", "source", "metadata", "id")):
            found.append(f"cell {i} is not that of {path.name}")
        outputs = cell.get("outputs", [])
        if outputs and is_machine(cell):
            found.append(f"cell {i} has the tag machine and outputs")
        if cell.get("execution_count"):
            found.append(f"cell {i} has an execution count")
        for output in outputs:
            if output.output_type == "error" or output.get("name") == "stderr":
                found.append(f"cell {i} shows an error or warnings")
            shown = "\n".join([output.get("text", ""), *(text for _, text in sorted(output.get("data", {}).items()))])
            shown = re.sub(r"[A-Za-z0-9+/=\n]{200,}", "", shown)  # pictures
            if alien := FOREIGN.search(shown) or TIMES.search(shown):
                found.append(f"cell {i} shows {alien.group()!r}")
    if notebook.metadata != METADATA:
        found.append("metadata beyond the kernel's name")
    if paired.stat().st_size > MOST:
        found.append(f"{paired.stat().st_size:,} bytes, more than {MOST:,}")
    return found


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if not name.startswith("-")]
    paths = [EXAMPLES / f"{Path(name).stem}.py" for name in names] or sorted(EXAMPLES.glob("*.py"))
    stray = [path for path in EXAMPLES.glob("*.ipynb") if not path.with_suffix(".py").exists()]
    wrong = [f"{path.name}: has no .py" for path in stray]
    for path in paths:
        if "--check" not in arguments:
            run(path)
        wrong += [f"{path.stem}.ipynb: {fault}" for fault in faults(path)]
    print("\n".join([*wrong, "python .ci/notebooks.py writes them anew"] if wrong else [f"{len(paths)} notebooks"]))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
