"""Which runs are kept, which one is shown and submitted, and what a crash leaves of them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml

from provided.artifacts import Folder, trial_notes
from provided.experiments import EXPERIMENTS, left_out, read_experiments, table, update_experiments
from provided.history import Epoch, write_history
from provided.mnist import TRAINING_IMAGES
from provided.runs import TRANSFORMER_CODE, Runs, code_of

from .student_copy import replace, run, solved

EPOCHS = 2
OF_AN_EARLIER_TRAIN = {  # run.yaml of a train.py that kept one run and the one before
    "model": "fc",
    "seed": 0,
    "images": 96,
    "learning_rate": 0.003,
    "batch_size": 32,
    "epochs": 10,
    "schedule": "one_cycle",
    "epochs_done": 2,
    "validation_accuracy": 0.4,
    "test_accuracy": 0.41667,
    "seconds": 0.1,
    "device": "cpu",
    "parameters": 159010,
}
EARLIER_EXPERIMENTS = """\
finished,model,seed,epochs,images,optimizer,batch_size,learning_rate,schedule,weight_decay,\
parameters,train_loss,validation_loss,validation_accuracy,test_accuracy,seconds,device,architecture
2026-10-01 10:00,fc,0,2,96,adam,32,0.003,one_cycle,0.0,159010,1,1,0.4,0.41667,0.1,cpu,Flatten
2026-09-01 10:00,cnn,0,10,48000,adam,32,0.003,one_cycle,0.0,9642,0,0,0.99,0.99,90,cpu,Conv2d(1; 8)
"""
# Trains where 64 images are all there are, and is killed when a file or folder takes its place
# for the n-th time, n being the first argument. The latest run counts as the best.
KILLED = """
import os, signal, sys
import train
from provided import artifacts, runs

artifacts.TRAINING_IMAGES = 64
runs.Kept.validation = property(lambda kept: (float(kept.number), 0.0))
replace, left = os.replace, [int(sys.argv[1])]

def replace_or_die(*places, **options):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    replace(*places, **options)

os.replace = replace_or_die
sys.exit(train.main(sys.argv[2:]))
"""


def made(
    runs: Runs,
    *accuracies: float,
    model: str = "fc",
    images: int = TRAINING_IMAGES,
    epochs: int = EPOCHS,
    code: str | None = None,
) -> int:
    """A run with these validation accuracies; its number."""
    folder = runs.new(model)
    history = [Epoch(n, 1.0, 1 - one, 0.5, one) for n, one in enumerate(accuracies, start=1)]
    write_history(folder.history, history)
    folder.weights.write_text(str(accuracies))
    notes = {"run": folder.number, "model": model, "images": images}
    notes |= {} if code is None else {"code": code}
    folder.write_notes(notes | trial_notes(len(history), epochs, images, None))
    return folder.number


def shown(runs: Runs, model: str = "fc", code: str | None = None) -> int:
    """The number of the run that is shown, whose files must be those of that run."""
    best = runs.show(model, code)
    assert best is not None
    place = runs.path / model
    number = yaml.safe_load((place / "run.yaml").read_text())["run"]
    assert number == best.number
    names = {file.name for file in best.folder.path.iterdir()}
    assert {file.name for file in place.iterdir()} == names
    assert all(
        (place / name).read_bytes() == (best.folder.path / name).read_bytes() for name in names
    )
    return number


def test_the_best_full_run_is_shown_and_no_trial_takes_its_place(tmp_path):
    runs = Runs(tmp_path)
    trial = made(runs, 0.9)
    assert shown(runs) == trial  # as there is nothing else
    full = made(runs, 0.5, 0.6)
    assert shown(runs) == full
    made(runs, 0.99)
    made(runs, 1.0, 1.0, images=64)
    assert shown(runs) == full
    made(runs, 0.5, 0.55)
    assert shown(runs) == full
    better = made(runs, 0.5, 0.7)
    assert shown(runs) == better
    assert len(runs.all()) == 6


def test_a_trial_on_more_images_is_shown_before_one_on_few(tmp_path):
    runs = Runs(tmp_path)
    long = made(runs, 0.9)
    made(runs, 1.0, images=64)
    assert shown(runs) == long


def test_a_networks_best_epoch_counts_and_a_transformers_last_one(tmp_path):
    runs = Runs(tmp_path)
    peaks = {model: made(runs, 0.9, 0.6, model=model) for model in ("fc", "cnn", "vit")}
    ends = {model: made(runs, 0.7, 0.8, model=model) for model in ("fc", "cnn", "vit")}
    assert [shown(runs, model) for model in peaks] == [peaks["fc"], peaks["cnn"], ends["vit"]]


def test_weights_made_with_other_code_give_way_to_a_full_run_and_to_no_trial(tmp_path):
    runs = Runs(tmp_path)
    old = made(runs, 0.5, 0.9, model="vit", code="before")
    made(runs, 0.95, model="vit", code="now")
    assert shown(runs, "vit", code="now") == old
    new = made(runs, 0.5, 0.8, model="vit", code="now")
    assert shown(runs, "vit", code="now") == new
    assert shown(runs, "vit", code="before") == old


def test_files_of_your_own_stay_where_they_are(tmp_path):
    runs = Runs(tmp_path)
    made(runs, 0.5, 0.6)
    runs.show("fc", None)
    (tmp_path / "fc" / "ideas.txt").write_text("more units")
    made(runs, 0.5, 0.7)
    runs.show("fc", None)
    assert (tmp_path / "fc" / "ideas.txt").read_text() == "more units"
    assert "0.7" in (tmp_path / "fc" / "weights.safetensors").read_text()


@pytest.mark.parametrize("name", ["fc.old", "fc.new", "fc-old", "runs.old"])
def test_a_folder_of_your_own_beside_a_model_is_left_alone(name, tmp_path):
    runs = Runs(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "weights.safetensors").write_text("mine")
    for accuracy in (0.5, 0.6):
        made(runs, accuracy)
        assert runs.show("fc", None) is not None
    assert (tmp_path / name / "weights.safetensors").read_text() == "mine"
    assert "0.6" in (tmp_path / "fc" / "weights.safetensors").read_text()


def test_two_trainings_that_start_at_once_get_numbers_of_their_own(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        models = ["fc", "cnn", "vit", "fc"] * 4
        folders = list(pool.map(Runs(tmp_path).new, models))
    assert len({folder.number for folder in folders}) == len(folders) == 16
    assert len(list((tmp_path / "runs").iterdir())) == 16


def test_a_run_of_an_earlier_train_is_taken_over_and_so_is_the_one_before(tmp_path):
    runs, place = Runs(tmp_path), tmp_path / "fc"
    (place / "previous").mkdir(parents=True)
    for folder, accuracy in ((place, 0.4), (place / "previous", 0.3)):
        write_history(folder / "history.csv", [Epoch(n, 1, 1, accuracy, accuracy) for n in (1, 2)])
        (folder / "weights.safetensors").write_text(str(accuracy))
        notes = {**OF_AN_EARLIER_TRAIN, "test_accuracy": 0.41667 if accuracy == 0.4 else 0.3}
        Folder(folder).write_notes(notes)
    (tmp_path / "experiments.csv").write_text(EARLIER_EXPERIMENTS)
    for _ in range(2):  # the second time there is nothing to take over
        assert shown(runs) == 2
    before, latest = runs.all()
    assert (before.folder.weights.read_text(), latest.folder.weights.read_text()) == ("0.3", "0.4")
    assert latest.notes["trial_because"] == "96 of 48,000 training images, 2 of 10 epochs"
    assert not (place / "previous").exists()
    rows = update_experiments(tmp_path, [kept.row() for kept in runs.all()])
    assert [(row["run"], row["model"], row["finished"]) for row in rows] == [
        ("", "cnn", "2026-09-01 10:00"),
        ("1", "fc", ""),
        ("2", "fc", "2026-10-01 10:00"),
    ]
    assert update_experiments(tmp_path, [kept.row() for kept in runs.all()]) == rows
    assert table(rows).count("trial") == 3  # the column's name, and both runs of 96 images


ONE_RUN = """\
run,model,epochs,learning_rate,schedule,weight_decay,images,parameters,validation_accuracy,\
test_accuracy,architecture
1,fc,10,0.003,one_cycle,0.0,48000,7850,0.9,0.925,"Linear(784, 10)"
"""
FOR_EUROPE = ONE_RUN.replace('"Linear(784, 10)"', "Linear").replace(",", ";").replace(".", ",")
AS_SAVED = {  # ONE_RUN by other programs
    "plain": ONE_RUN.encode(),
    "byte order mark": b"\xef\xbb\xbf" + ONE_RUN.encode(),
    "Windows line ends": ONE_RUN.replace("\n", "\r\n").encode(),
    "semicolons and decimal commas": FOR_EUROPE.encode("cp1252"),
    "tabs in UTF-16": FOR_EUROPE.replace(";", "\t").encode("utf-16"),
    "empty lines": ONE_RUN.replace("\n", "\n,,,\n\n").encode(),
    "in Windows' encoding": ONE_RUN.replace("Linear(", "Linéar(").encode("cp1252"),
}


@pytest.mark.parametrize("content", AS_SAVED.values(), ids=AS_SAVED.keys())
def test_experiments_are_read_as_a_spreadsheet_saves_them(content, tmp_path):
    (tmp_path / EXPERIMENTS).write_bytes(content)
    (row,) = update_experiments(tmp_path, [])
    assert left_out(tmp_path) == []
    assert (row["run"], row["test_accuracy"], row["parameters"]) == ("1", "0.925", "7850")
    assert row["architecture"].startswith("Lin")
    assert "92.50%" in table([row])
    assert update_experiments(tmp_path, []) == [row]  # also from what was written


ODD_ROWS = {  # a line typed below ONE_RUN, and what is said of it
    "words for a number": (
        ',fc,ten,0.1,,,,,0.5,0.5,"a, b"',
        "line 3, is left out: epochs is 'ten'",
    ),
    "words for an accuracy": (",fc,1,0.1,,,,,good,0.5,", "validation_accuracy is 'good'"),
    "no number at all": (",fc,1,0.1,,,,,nan,0.5,", "validation_accuracy is 'nan', not a number"),
    "columns missing": (",fc,1", "learning_rate is missing"),
    "too many": (",fc,1,0.1,,,,,0.5,0.5,a, b", "more values than there are columns"),
    "an open quotation mark": (',fc,1,"0.1,,,,,0.5,0.5,\n2', "a quotation mark is opened"),
    "a number of thousands of digits": (f",fc,{'1' * 5000},0.1,,,,,0.5,0.5,", "epochs is '111"),
}


@pytest.mark.parametrize(("line", "said"), ODD_ROWS.values(), ids=ODD_ROWS.keys())
def test_an_odd_row_of_the_experiments_is_named_kept_and_stops_nothing(line, said, tmp_path):
    (tmp_path / EXPERIMENTS).write_text(f"{ONE_RUN}{line}\n")
    (note,) = left_out(tmp_path)
    assert note.startswith(f"{EXPERIMENTS}, line 3, is left out: ")
    assert said in note
    for _ in range(2):
        rows = update_experiments(tmp_path, [])
        assert [row["run"] for row in rows] == ["1"]
        assert table(rows)
        assert len(left_out(tmp_path)) == 1
    kept = (tmp_path / EXPERIMENTS).read_text()
    assert all(cell in kept for cell in line.replace('"', "").split(",") if "\n" not in cell)


def test_what_is_no_table_at_all_is_refused_and_stays(tmp_path):
    content = b"\x7fELF\0\xff\n" * 9
    (tmp_path / EXPERIMENTS).write_bytes(content)
    with pytest.raises(OSError, match=f"{EXPERIMENTS} is not a table"):
        update_experiments(tmp_path, [])
    assert (tmp_path / EXPERIMENTS).read_bytes() == content


def test_columns_of_your_own_and_a_file_without_names_are_kept(tmp_path):
    first, second = ONE_RUN.splitlines()
    (tmp_path / EXPERIMENTS).write_text(f"{first},idea\n{second},wider\n")
    row = {"run": "1", "model": "fc", "test_accuracy": "0.95"}
    (updated,) = update_experiments(tmp_path, [row])
    assert (updated["idea"], updated["test_accuracy"]) == ("wider", "0.95")
    text = (tmp_path / EXPERIMENTS).read_text().splitlines()[1]
    (tmp_path / EXPERIMENTS).write_text(f"{text}\n")
    rows, notes = update_experiments(tmp_path, []), left_out(tmp_path)
    assert rows == []
    assert "more values than there are columns" in notes[0]
    assert "wider" in (tmp_path / EXPERIMENTS).read_text()


def test_artifacts_put_there_by_hand_become_a_run(tmp_path):
    runs = Runs(tmp_path)
    made(runs, 0.5, 0.6)
    shown(runs)
    shutil.rmtree(tmp_path / "fc")
    write_history_of_ten = [Epoch(n, 1, 1, 0.9, 0.9) for n in range(1, 11)]
    (tmp_path / "fc").mkdir()
    write_history(tmp_path / "fc" / "history.csv", write_history_of_ten)
    assert shown(runs) == 2
    assert len(runs.all()) == 2


def test_what_a_crash_left_half_written_is_cleared_away_and_nothing_newer(tmp_path):
    runs = Runs(tmp_path)
    made(runs, 0.5)
    old, new = (tmp_path / "runs/001-fc" / f"resume.pt.{n}.new" for n in (1, 2))
    for file in (old, new):
        file.write_text("half")
    mine = [old.with_name(name) for name in ("ideas.new", "ideas.txt.1.new", "loss.png.new")]
    for file in mine:
        file.write_text("mine")
    for file in (old, *mine):
        os.utime(file, (0, 0))
    runs.settle("fc")
    assert (old.exists(), new.exists()) == (False, True)
    assert all(file.exists() for file in mine)


def test_what_is_in_no_run_is_set_aside_before_anything_takes_its_place(tmp_path, capsys):
    runs, place = Runs(tmp_path), tmp_path / "fc"
    made(runs, 0.5, 0.6)
    for number in (1, 2):  # the second time beside the first
        place.mkdir(exist_ok=True)
        (place / "history.csv").write_text(f"epoch,train_loss\none,{number}\n")
        (place / "weights.safetensors").write_text(f"precious {number}")
        assert shown(runs) == 1
    (place / "weights.safetensors").write_text("beside an unchanged history")
    assert shown(runs) == 1
    shutil.rmtree(place)
    place.mkdir()
    (place / "weights.safetensors").write_text("without a history")
    assert shown(runs) == 1
    said = capsys.readouterr().out
    kept = [tmp_path / "runs" / f"set-aside-fc{number}" for number in ("", "-2", "-3", "-4")]
    assert [(aside / "weights.safetensors").read_text() for aside in kept] == [
        "precious 1",
        "precious 2",
        "beside an unchanged history",
        "without a history",
    ]
    assert (kept[1] / "history.csv").read_text() == "epoch,train_loss\none,2\n"
    assert len(said.splitlines()) == 4
    assert all(str(aside) in said for aside in kept)


def test_a_copy_of_a_run_that_went_on_is_not_set_aside(tmp_path, capsys):
    runs = Runs(tmp_path)
    made(runs, 0.5)
    assert shown(runs) == 1
    folder = runs.all()[0].folder
    write_history(folder.history, [Epoch(n, 1.0, 0.5, 0.5, 0.5) for n in (1, 2)])
    folder.weights.write_text("of two epochs")
    assert shown(runs) == 1
    made(runs, 0.5, 0.9)
    assert shown(runs) == 2
    assert not list((tmp_path / "runs").glob("set-aside*"))
    assert capsys.readouterr().out == ""


ODD = {  # what becomes of a file of a run -> nothing that stops the others
    "a date that is none": ("run.yaml", "model: fc\nfinished: 2026-13-41\n"),
    "words for a number": ("run.yaml", "model: fc\nimages: all\n"),
    "a tag without a value": ("run.yaml", "model: fc\nseed: !!int ''\n"),
    "an accuracy in words": (
        "run.yaml",
        "{model: fc, run: 2, trial: false, epochs_done: 2, images: 48000, seed: 0, "
        "parameters: 9, test_accuracy: good}",
    ),
    "a field without end": ("history.csv", f"epoch,train_loss\n1,{'1' * 140_000}\n"),
}


@pytest.mark.parametrize(("name", "text"), ODD.values(), ids=ODD.keys())
@pytest.mark.parametrize("everywhere", [False, True])
def test_a_run_that_cannot_be_read_stops_no_other(name, text, everywhere, tmp_path):
    runs = Runs(tmp_path)
    made(runs, 0.5, 0.6)
    made(runs, 0.5, 0.7)
    assert shown(runs) == 2
    for place in ("runs/002-fc", *(["fc"] if everywhere else [])):
        (tmp_path / place / name).write_text(text)
    best = runs.show("fc", None)
    assert best is not None
    count = len(runs.all())
    rows = update_experiments(tmp_path, [kept.row() for kept in runs.all() if kept.noted])
    assert table(rows)
    made(runs, 0.5, 0.9)
    again = shown(runs)
    assert again == max(kept.number for kept in runs.all())
    assert len(runs.all()) == count + 1  # nothing is taken over twice


@pytest.mark.parametrize("kind", ["a file", "a dangling link"])
def test_where_no_run_can_be_kept_nothing_is_trained(kind, template):
    artifacts = template / "artifacts"
    (artifacts / "fc").mkdir(parents=True)
    write_history(artifacts / "fc/history.csv", [Epoch(1, 1.0, 1.0, 0.5, 0.5)])  # of an older one
    if kind == "a file":
        (artifacts / "runs").write_text("mine")
    else:
        (artifacts / "runs").symlink_to(template / "gone" / "away")
    ended = run(template, "train.py", "fc", "--images", "64")
    assert ended.status == 1
    assert "Traceback" not in ended.output
    assert f"can't be kept in {artifacts / 'runs'}" in ended.output
    assert "epoch  1" not in ended.output


def test_trying_out_whether_a_run_can_be_kept_leaves_nothing(tmp_path):
    runs = Runs(tmp_path)
    runs.try_out("fc", None)
    assert not list((tmp_path / "runs").iterdir())
    folder = runs.new("fc")
    runs.try_out("fc", folder)
    assert not list(folder.path.iterdir())


def test_a_transformers_code_is_its_own_whatever_comments_say():
    taken = dict.fromkeys(TRANSFORMER_CODE, "scale = 2\n")
    code = code_of("vit", taken)
    assert code
    assert code_of("vit", {**taken, "encoder.py": "\ufeff# a comment\nscale = (2)\n"}) == code
    assert code_of("vit", {**taken, "encoder.py": "scale = 3\n"}) not in (code, "")
    assert code_of("vit", {**taken, "encoder.py": "scale =\n"}) == ""
    assert code_of("vit", {"encoder.py": "scale = 2\n"}) == ""
    assert code_of("fc", taken) is None


@pytest.fixture
def template(tmp_path):
    """A solved template in which nothing is trained yet, with one epoch for a full run."""
    folder = solved(tmp_path / "hw5")
    shutil.rmtree(folder / "artifacts")
    replace(folder / "models.py", '3e-3, schedule="one_cycle"', "3e-3, epochs=1")
    (folder / "killed.py").write_text(KILLED)
    return folder


def whole(artifacts) -> int | None:
    """The number of the run that artifacts/fc is a copy of; None where there is no such folder."""
    place = artifacts / "fc"
    if not place.exists():
        return None
    number = yaml.safe_load((place / "run.yaml").read_text())["run"]
    for file in place.iterdir():
        of_the_run = artifacts / "runs" / f"{number:03}-fc" / file.name
        assert file.read_bytes() == of_the_run.read_bytes(), file
    assert {"history.csv", "weights.safetensors"} <= {file.name for file in place.iterdir()}
    return number


@pytest.mark.full
def test_a_kill_at_any_moment_of_saving_leaves_the_earlier_run_whole(template):
    artifacts = template / "artifacts"
    options = ("fc", "--images", "64")
    assert run(template, "killed.py", "0", *options).status == 0
    assert whole(artifacts) == 1
    first = {file.name: file.read_bytes() for file in (artifacts / "runs/001-fc").iterdir()}
    moments, missing = 0, 0
    while True:
        moments += 1
        ended = run(template, "killed.py", str(moments), *options, "--seed", str(moments))
        if ended.status == 0:
            break
        assert "Traceback" not in ended.output
        missing += whole(artifacts) is None
        assert (artifacts / "fc").exists() or (artifacts / "runs/fc-shown-before").exists()
        assert run(template, "train.py", "compare").status == 0
        assert whole(artifacts) is not None
        assert {
            file.name: file.read_bytes() for file in (artifacts / "runs/001-fc").iterdir()
        } == first
    assert moments > 6
    assert missing <= 1  # between the two names that change
    assert not list((artifacts / "runs").glob("fc-shown-*"))
    assert [row["trial"] for row in read_experiments(artifacts)].count("false") >= 2


def test_a_run_that_was_killed_goes_on_with_resume(template):
    replace(template / "models.py", "epochs=1", "epochs=3")
    options = ("fc", "--images", "64")
    unbroken = solved(template.parent / "unbroken")
    shutil.copy(template / "models.py", unbroken)
    shutil.rmtree(unbroken / "artifacts")
    assert run(unbroken, "train.py", *options).status == 0
    killed = run(template, "killed.py", "7", *options)  # after the second epoch's weights
    assert killed.status != 0
    other = run(template, "train.py", *options, "--seed", "1")  # a later run, of another seed
    assert other.status == 0, other.output
    ended = run(template, "train.py", *options, "--resume")
    assert ended.status == 0, ended.output
    runs = Runs(template / "artifacts")
    assert [kept.notes["seed"] for kept in runs.all()] == [0, 1]
    assert [len(kept.epochs) for kept in runs.all()] == [3, 3]
    wanted = unbroken / "artifacts/runs/001-fc/weights.safetensors"
    assert runs.all()[0].folder.weights.read_bytes() == wanted.read_bytes()
    rows = read_experiments(runs.path)
    assert [(row["run"], row["epochs"]) for row in rows] == [("1", "3"), ("2", "3")]


def test_a_folder_that_cannot_be_replaced_costs_no_run(template):
    options = ("fc", "--images", "64")
    assert run(template, "train.py", *options).status == 0
    refusing = KILLED.replace(
        "os.kill(os.getpid(), signal.SIGKILL)", "raise PermissionError(5, '')"
    )
    (template / "refusing.py").write_text(
        refusing.replace("left[0] == 0", "'fc-shown-before' in str(places)")
    )
    ended = run(template, "refusing.py", "0", *options, "--seed", "1")
    assert ended.status == 1
    assert "Every run is kept in" in ended.output
    assert "Traceback" not in ended.output
    assert len(Runs(template / "artifacts").all()) == 2
    assert whole(template / "artifacts") == 1
    assert run(template, "train.py", "compare").status == 0


# Files can't grow beyond so many bytes, the first argument, as on a disk that is full.
FULL = """
import resource, sys
import train
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
sys.exit(train.main(sys.argv[2:]))
"""


@pytest.mark.parametrize("room", [2_000, 700_000], ids=["for what is said", "for the weights"])
def test_a_full_disk_is_told_in_a_sentence_and_costs_no_earlier_run(room, template):
    options = ("fc", "--images", "64")
    (template / "full.py").write_text(FULL)
    assert run(template, "train.py", *options).status == 0
    everything = (template / "artifacts").rglob("*")
    before = {file: file.read_bytes() for file in everything if file.is_file()}
    ended = run(template, "full.py", str(room), *options, "--seed", "1")
    assert ended.status == 1
    assert "Traceback" not in ended.output
    assert "can't be kept in" in ended.output
    assert "with room on its disk" in ended.output
    assert all(file.read_bytes() == content for file, content in before.items())
    assert not list((template / "artifacts").rglob("*.new"))
    assert run(template, "train.py", *options, "--seed", "1").status == 0


def test_threads_are_one_unless_told_otherwise(template):
    for options, threads in (((), 1), (("--threads", "2"), 2)):
        ended = run(template, "train.py", "sample", "--images", "64", *options)
        assert ended.status == 0, ended.output
        notes = yaml.safe_load((template / "artifacts/sample/run.yaml").read_text())
        assert notes["layer_weight_decay"] == {"classifier": 0.001}
        runs = Runs(template / "artifacts").all("sample")
        assert runs[-1].notes["threads"] == threads
