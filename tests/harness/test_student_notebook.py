"""The notebook: runs from top to bottom, sees edited files, carries no outputs."""

from __future__ import annotations

import nbclient
import nbformat
import pytest
import yaml
from pypdf import PdfReader

from .student_copy import DATA, REFERENCE, TEMPLATE, solved, untouched

NOTEBOOK = TEMPLATE / "hw5.ipynb"
SECONDS = 120  # for a cell

# The kernel's own transport warns of deprecations and leaves sockets to the collector.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture
def execute(monkeypatch):
    """Runs a notebook in a folder, each training on a few images."""
    for name, value in {
        "HW5_DATA": str(DATA),
        "HW5_IMAGES": "64",
        "HW5_EPOCHS": "1",
        "OMP_NUM_THREADS": "1",
    }.items():
        monkeypatch.setenv(name, value)

    def run(notebook, folder):
        resources = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(
            notebook, timeout=SECONDS, kernel_name="python3", resources=resources
        ).execute()
        return notebook

    return run


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def printed(cell) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


@pytest.mark.full
def test_the_notebook_runs_from_top_to_bottom_and_shows_every_picture(execute, tmp_path):
    folder = solved(tmp_path / "hw5")
    notebook = execute(read(), folder)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    pictures = [
        cell for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    (writeup,) = [cell for cell in cells if "writeup.show" in cell.source]
    # digits, two samples, three trainings, patches, attention maps, what was tried
    assert len([cell for cell in pictures if cell is not writeup]) == 9
    assert pictures.count(writeup) == len(PdfReader(folder / "writeup.pdf").pages)
    assert "FIX" not in "".join(printed(cell) for cell in cells if cell is not writeup)
    # The reference's run has no pictures, which train.py leaves beside every run of a student.
    assert printed(writeup).count("FIX") == 1
    assert "attention.png is not there" in printed(writeup)
    assert (folder / "submission.zip").exists()
    (trial,) = (folder / "artifacts" / "runs").glob("*-vit/attention.png")
    assert trial.is_file()
    shown = yaml.safe_load((folder / "artifacts" / "vit" / "run.yaml").read_text())
    assert not shown["trial"]  # the reference's, and not that of a few images


def test_files_edited_between_two_cells_are_read_again(execute, tmp_path):
    folder = untouched(tmp_path / "hw5")
    setting_up = [cell for cell in read().cells if cell.cell_type == "code"][:2]
    slots = ("models.py", "attention.py", "encoder.py")
    written = {name: (REFERENCE / name).read_text(encoding="utf-8") for name in slots}
    cells = [
        *setting_up,
        nbformat.v4.new_code_cell(
            "for name in ('fc', 'cnn', 'vit'):\n"
            "    try:\n"
            "        train.make_model(name)\n"
            "    except NotImplementedError:\n"
            "        print('still to write')"
        ),
        nbformat.v4.new_code_cell(
            "import time; time.sleep(1.1)  # a file's time counts whole seconds on some systems\n"
            f"for name, text in {written!r}.items():\n"
            "    Path(name).write_text(text, encoding='utf-8')"
        ),
        nbformat.v4.new_code_cell(
            "print(*[sum(p.numel() for p in train.make_model(name)[0].parameters())"
            " for name in ('fc', 'cnn', 'vit')])"
        ),
    ]
    notebook = execute(nbformat.v4.new_notebook(cells=cells), folder)
    assert printed(notebook.cells[2]).count("still to write") == 3
    assert printed(notebook.cells[4]).split() == ["159010", "9642", "892554"]


def test_the_notebook_is_kept_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


def test_the_samples_are_not_the_reference():
    reference = (REFERENCE / "models.py").read_text(encoding="utf-8")
    layers = [line.strip() for line in reference.splitlines() if line.strip().startswith("nn.C")]
    text = "".join(cell.source for cell in read().cells)
    text += (TEMPLATE / "samples.py").read_text(encoding="utf-8")
    assert layers
    assert not any(layer.split(" #")[0] in text for layer in layers)
