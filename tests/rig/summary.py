"""The last lines of a run: which Kafka and PostgreSQL it used, and what was skipped and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator

import pytest

from .run import Run


class Summary:
    """Printed after everything else, so that nobody has to scroll for what a green run did not prove."""

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._run = run

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        result = yield
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not self._config.option.collectonly:
            for line in self.lines(reporter.stats.get("skipped", [])):
                reporter.write_line(line)
        return result

    def lines(self, skipped: list[pytest.TestReport]) -> list[str]:
        """What there is to say."""
        used = self._run.all_used()
        said = [f"{what}: {used.get(what, 'not used')}" for what in ("Kafka", "PostgreSQL")]
        reasons = Counter((_reason(report), report.nodeid.partition("::")[0]) for report in skipped)
        said += [f"skipped {count} in {file}: {reason}" for (reason, file), count in sorted(reasons.items())]
        return said if reasons else [*said, "nothing was skipped"]


def _reason(report: pytest.TestReport) -> str:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return reason.removeprefix("Skipped: ")
