"""Whatever stands in a folder, `readiness init` reads it, and what it would write is understood."""

from __future__ import annotations

import json
import tempfile
import tomllib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import SpecError
from harness.onboarding.folder import Folder
from harness.onboarding.limits import WISHED
from harness.onboarding.proposal import Answers, proposed, told_by
from harness.onboarding.scenarios import scenario_texts
from harness.onboarding.settings import settings_text
from harness.spec.document import read_yaml
from harness.spec.parser import validated
from harness.spec.scenario import Scenario
from harness.stack.components import COMPONENTS

NAMES = ("main.py", "urls.py", "server.js", "main.go", "Procfile", "Dockerfile", "package.json", "go.mod", "compose.yaml",
         "requirements.txt", ".env.example", "a\nb.py")  # fmt: skip
PIECES = (
    "app = FastAPI()\n", "def make():\n    return Flask(__name__)\n", '@app.get("/a/{b}")\n', "@app.route('/\\x07\"')\n",
    "web: serve --port $PORT 'a b'\n", 'CMD ["serve", "--port", "$PORT"]\n', 'CMD serve "\x01\\\n', "FROM x\n",
    '{"scripts": {"start": "node a.js"}, "dependencies": {"redis": 1}}', '{"main": 3, "scripts": []}', "[" * 2000,
    "services:\n  web: {build: ., command: [serve, 80], ports: [80, {target: 81}]}\n  c: {image: 'redis:7'}\n",
    "services: [a]\n", "redis==5\nREDIS_URL=\n", 'os.environ["DATABASE_URL"] os.environ.get("PORT")\n',
    "package main\nfunc main() {}\n", "\x00", "\ud7ff\u2028\x85",
)  # fmt: skip
FILES = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES) | st.text(max_size=20), max_size=5))


@given(files=FILES)
@settings(deadline=None)
def test_what_would_be_written_is_understood(files):
    """It is refused where nothing says how the service is started; else it is TOML and scenarios, with nothing lost."""
    with tempfile.TemporaryDirectory() as place:
        for name, pieces in files.items():
            (Path(place) / name).write_text("".join(pieces), encoding="utf-8")
        told = told_by(Folder(Path(place)))
        try:
            proposal = proposed(told, Answers(), COMPONENTS)
        except SpecError:
            assert told.starts == ()
            return

    written = tomllib.loads(settings_text(proposal, WISHED))["system"]
    runs = written["subject"][proposal.start.kind]
    assert (runs if isinstance(runs, str) else tuple(runs)) == proposal.start.runs
    assert [each["path"] for each in written["requests"]] == [route.path for route in proposal.asked]
    if proposal.start.kind != "service":
        assert {each.kind for each in proposal.components} == set(written["components"])
    assert json.dumps(written)
    for name, text in scenario_texts(proposal):
        assert validated(Scenario, read_yaml(text, name=name)).phases
