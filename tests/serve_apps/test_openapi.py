"""Requests drawn from the OpenAPI documents, right and wrong ones: whatever is sent, the service does not break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


@pytest.mark.parametrize(
    ("document", "base", "checks"),
    [
        ("/openapi.json", "", "not_a_server_error,content_type_conformance,response_schema_conformance"),
        ("/stac/api", "/stac", "not_a_server_error"),
    ],
    ids=["own", "stac"],
)
def test_no_request_breaks_the_service(address, tmp_path, document, base, checks):
    options = ["--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--request-timeout", "60"]
    done = subprocess.run(
        [SCHEMATHESIS, "run", address + document, "--url", address + base, "--checks", checks, "--seed", "1", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Tested: 0" not in done.stdout
