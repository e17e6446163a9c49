"""The folder that a training run leaves behind, and finds again."""

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator

from keras_mambaout.files import locked, remove_parts, write_whole
from keras_mambaout.training.backup import BACKUP, Backup
from keras_mambaout.training.history import History

SETTINGS, CLASSES, HISTORY, LOCK = "settings.json", "classes.txt", "history.csv", ".lock"
BACKUP_FOLDER, TENSORBOARD = "backup", "tensorboard"
WRITTEN = rf"settings\.json|classes\.txt|history\.csv|best\.keras|last\.keras|{BACKUP.pattern}"
SHOWN_CLASSES = 3  # in an error about class names


class RunFolder:
    """The folder of a run: its settings, the names of its classes, and the logs of its epochs.

    Args:
        folder: Path; the folder is made if there is none.
        settings: Dict of what makes the run what it is, written as JSON. A run is resumed only with settings that
            are the same; those that are `None`, here or in the folder, or that the folder does not have, since an
            earlier version wrote it, are not compared.
        class_names: List of names.
        chief: Whether this process writes; of several only the first does.
    """

    def __init__(self, folder: str, settings: dict, class_names: list[str], chief: bool) -> None:
        self.folder, self.class_names, self.chief = folder, class_names, chief
        self.settings = json.loads(json.dumps(settings))  # as they are read again: lists for tuples
        self.history: History

    @contextlib.contextmanager
    def opened(self, resume: bool, backup: Backup) -> Iterator[None]:
        """A context of the run, which it has for itself.

        The folder is made, or the run in it is found and compared with this one, before anything is written.

        Raises:
            ValueError: If another process is at the run, the folder has a run that is not to be resumed, or with other
                settings or classes, its files are damaged, or they cannot be written.
        """
        with contextlib.ExitStack() as stack:
            if self.chief:
                self._check(resume)
                with self._writing():
                    for name in (BACKUP_FOLDER, TENSORBOARD):
                        os.makedirs(self._path(name), exist_ok=True)
                    stack.enter_context(locked(self._path(LOCK), self._busy()))
                self._check(resume)  # again: a run may have begun and ended here meanwhile
            epochs, _ = backup.place()
            self.history = History(self._path(HISTORY), epochs)
            if self.chief:
                with self._writing():
                    self._remove_parts()
                    write_whole(
                        self._path(CLASSES), lambda part: pathlib.Path(part).write_text(self._classes(), "utf-8")
                    )
                    self.history.write()
                    write_whole(self._path(SETTINGS), lambda part: pathlib.Path(part).write_text(self._json(), "utf-8"))
            yield

    def append(self, epoch: int, logs: dict[str, float]) -> None:
        """Adds the logs of an epoch."""
        self.history.append(epoch, logs)
        if self.chief:
            with self._writing():
                self.history.write()

    @contextlib.contextmanager
    def logged(self) -> Iterator[None]:
        """A context for `fit`, in which what TensorFlow cannot write for TensorBoard is an error of this folder."""
        folder = self._path(TENSORBOARD)
        try:
            yield
        except Exception as error:
            if isinstance(error, ValueError) or folder not in str(error):
                raise
            raise ValueError(f"Cannot write into the folder {folder!r}: {' '.join(str(error).split())}") from error

    def _check(self, resume):
        """Checks that the run which is there, if there is one, is this one."""
        if not os.path.exists(self._path(SETTINGS)):
            return
        if not resume:
            raise ValueError(f"{self.folder!r} has a run already: go on with it (resume), or take another folder.")
        try:
            changed = [*self._other_classes(), *_differences(self._read_settings(), self.settings)]
        except OSError as error:
            raise ValueError(f"Cannot read the run in {self.folder!r}: {error}") from error
        if changed:
            raise ValueError(
                f"The run in {self.folder!r} had other settings ({'; '.join(changed)}): resume it with those, or "
                "take another folder."
            )

    def _read_settings(self):
        path = self._path(SETTINGS)
        try:
            with open(path, encoding="utf-8") as file:
                settings = json.load(file)
            if not isinstance(settings, dict) or not isinstance(settings.get("recipe"), dict):
                raise ValueError("it does not hold the settings of a run")
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"The settings of the run, {path!r}, are damaged: {error}. Put a copy of the file in its place, or "
                "begin again in another folder."
            ) from error
        return settings

    def _other_classes(self):
        """Returns in what the names of the classes differ from those in the folder, as a list of texts."""
        path = self._path(CLASSES)
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read()
        if text == self._classes():
            return []
        old, new = text.splitlines(), self._classes().splitlines()
        if len(old) != len(new):
            return [f"class names were {len(old)}, are {len(new)}"]
        pairs = [f"class {i} was {a!r}, is {b!r}" for i, (a, b) in enumerate(zip(old, new, strict=True)) if a != b]
        more = len(pairs) - SHOWN_CLASSES
        return [*pairs[:SHOWN_CLASSES], *([f"{more} more classes have other names"] if more > 0 else [])]

    def _remove_parts(self):
        for folder in (self.folder, self._path(BACKUP_FOLDER)):
            remove_parts(folder, WRITTEN)

    def _classes(self):
        return "".join(f"{name}\n" for name in self.class_names)

    def _json(self):
        return json.dumps(self.settings, indent=2)

    def _path(self, name):
        return os.path.join(self.folder, name)

    def _busy(self):
        return f"Another process trains in {self.folder!r}: wait until it has ended, or take another folder."

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except OSError as error:
            raise ValueError(f"Cannot write into the folder {self.folder!r}: {error}") from error


def _differences(old, new):
    """Returns the settings of a run that are not those of another one, as a list of texts."""
    pairs = [(f"recipe.{name}", old["recipe"].get(name), value) for name, value in new["recipe"].items()]
    known = {name: value for name, value in new.items() if None not in (value, old.get(name))}
    pairs += [(name, old[name], value) for name, value in known.items() if name != "recipe"]
    return [f"{name} was {before!r}, is {now!r}" for name, before, now in pairs if before != now]
