"""The errors that sightline raises on a user's mistake: what was expected, what came, the cure."""


class SightlineError(ValueError):
    """Base of every error that a user can mend."""


class DrawingError(SightlineError):
    """A drawing, or a file of drawings, is broken."""


class PhotoError(SightlineError):
    """A photo, a box in it, or a file of annotations is broken."""


class ModelError(SightlineError):
    """A model or its weights cannot be used as asked."""


class GameError(SightlineError):
    """Model, parts and targets do not fit together."""


class AlignmentError(SightlineError):
    """Labels of attention, or a loss on attention, cannot be used as asked."""


class TaskError(SightlineError):
    """A gallery, a pair, a healing or an attack cannot be made as asked."""


def first_line(error: BaseException) -> str:
    r"""The first line of another library's message; empty where it has none.

    Example:
        >>> first_line(RuntimeError("out of paper\nTraceback ..."))
        'out of paper'
    """
    return (str(error).splitlines() or [""])[0]


def unknown_name(kind: str, name: str, known: object) -> str:
    """The message for a wrong name: what was asked, the nearest known ones, all known ones.

    Example:
        >>> unknown_name("label", "aple", ["apple", "bus"])
        "unknown label 'aple'; did you mean 'apple'? Known: apple, bus"
    """
    import difflib

    names = [str(n) for n in known]  # type: ignore[attr-defined]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f" did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {name!r};{hint} Known: {', '.join(names)}"
