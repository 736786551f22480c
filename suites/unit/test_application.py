"""`app` and `wsgi` are looked for before anything starts: what is not there is told at once, and nothing is imported."""

from __future__ import annotations

import sys

import pytest

from harness.errors import MissingError
from harness.stack.subjects.module import check_application

FILES = {
    "shop/__init__.py": "raise RuntimeError('imported')\n",
    "shop/main.py": "import os\nfrom json import dumps as said\n\napp = object()\n\n\ndef create_app(): ...\n",
    "shop/later.py": "try:\n    import uvloop as fast\nexcept ImportError:\n    slow = 1\nif True:\n    inner: int = 3\n",
    "shop/stars.py": "from shop.main import *\n",
    "shop/asked.py": "def __getattr__(name): ...\n",
    "shop/made.py": "globals()['app'] = object()\n",
    "shop/wrong.py": "def (\n",
    "shop/empty.py": "",
    "alone.py": "app = 1\n",
    "spaced/inner.py": "app = 1\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    "application",
    [
        "shop.main:app", "shop.main:create_app", "shop.main:said", "shop.main:os", "shop.later:fast", "shop.later:slow",
        "shop.later:inner", "alone:app", "spaced.inner:app", "json:dumps", "email.mime.text:MIMEText",
    ],
)  # fmt: skip
def test_what_is_there_is_found(folder, application):
    """In a file, below a package, in a folder without `__init__.py`, among installed packages; under any condition."""
    check_application(application, folder, where="app", is_ours=True)


@pytest.mark.parametrize(
    "application", ["shop.stars:any", "shop.asked:any", "shop.made:app", "shop.wrong:app", "shop.empty:app"]
)
def test_what_looking_cannot_tell_is_left_to_the_start(folder, application):
    """A star, names that are made while it runs, and a text that Python will say more of."""
    check_application(application, folder, where="app", is_ours=True)


@pytest.mark.parametrize(
    ("application", "what", "fix"),
    [
        ("shpo.main:app", "there is no module shpo", "did you mean 'shop'?"),
        ("shop.mian:app", "shop has no module mian", "did you mean 'main'?"),
        ("shop.main.app:app", "shop.main is no package, so that shop.main.app is nowhere", "check its name"),
        ("shop.main:creat_app", "shop.main has no creat_app", "did you mean 'create_app'?"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(folder, application, what, fix):
    """By the key that names it."""
    with pytest.raises(MissingError) as refused:
        check_application(application, folder, where="readiness.toml: system.subject.app", is_ours=True)

    assert refused.value.what == what
    assert fix in refused.value.fix
    assert refused.value.where == "readiness.toml: system.subject.app"


def test_what_another_environment_has_is_not_looked_for_here(folder):
    """Its packages are not ours to know; what stands in its folder is."""
    check_application("elsewhere.main:app", folder, where="app", is_ours=False)
    with pytest.raises(MissingError, match="shop has no module mian"):
        check_application("shop.mian:app", folder, where="app", is_ours=False)


def test_nothing_is_imported(folder):
    """Whatever a package does when it is, it would do to us."""
    check_application("shop.main:app", folder, where="app", is_ours=True)

    assert "shop" not in sys.modules
