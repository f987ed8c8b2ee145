"""The import closure: which files a module depends on."""

import pytest

from pageflip.base.imports import import_closure


@pytest.fixture
def sources(tmp_path):
    """Make a package `tasks` of the given modules."""

    def make(**modules):
        (tmp_path / "tasks").mkdir()
        for name, text in modules.items():
            (tmp_path / "tasks" / f"{name}.py").write_text(text)
        return tmp_path

    return make


def test_imports_are_followed_through_modules_and_into_functions():
    closure = import_closure("tasks/register.py")
    assert {"tasks/register.py", "pageflip/registry/registration.py", "pageflip/frames/pixels.py"} <= closure
    assert "pageflip/cli/app.py" not in closure


def test_imports_for_type_checking_alone_are_not_followed(sources):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from tasks import b\nfrom tasks import c\n"
    assert import_closure("tasks/a.py", sources(a=text, b="", c="")) == {"tasks/a.py", "tasks/c.py"}


def test_what_only_an_exempt_file_imports_is_left_out(sources):
    folder = sources(a="import tasks.b\n", b="import tasks.c\n", c="")
    assert import_closure("tasks/a.py", folder, exempt=["tasks/b.py"]) == {"tasks/a.py"}


def test_a_relative_import_is_refused(sources):
    with pytest.raises(ValueError, match=r"tasks/a\.py imports relatively"):
        import_closure("tasks/a.py", sources(a="from . import b\n"))
