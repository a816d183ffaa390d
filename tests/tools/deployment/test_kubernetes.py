"""docs/deployment/kubernetes, as the schemas of Kubernetes and this project have it."""

import re
from typing import Any

import pytest

from taskapi.main import app
from taskapi.settings import PREFIX, Settings
from tests.requirements import import_module
from tests.server import ROOT

FOLDER = ROOT / "docs/deployment/kubernetes"
INSTALL = "uv sync --group judges"

Manifest = dict[str, Any]


def read_manifests() -> list[Manifest]:
    yaml = import_module("yaml", INSTALL)
    files = sorted(FOLDER.glob("*.yaml"))
    return [manifest for file in files for manifest in yaml.safe_load_all(file.read_text())]


def pods() -> list[Manifest]:
    """The specifications of the pods of the job and of the service."""
    templates = [manifest["spec"].get("template") for manifest in read_manifests()]
    return [template["spec"] for template in templates if template]


def validate(manifest: Manifest) -> None:
    kubernetes = import_module("kubernetes_validate", INSTALL)
    kubernetes.validate(manifest, kubernetes.latest_version(), strict=True)


def test_the_manifests_are_valid() -> None:
    manifests = read_manifests()
    for manifest in manifests:
        validate(manifest)
    kinds = [manifest["kind"] for manifest in manifests]
    assert kinds == ["Job", "Deployment", "Service", "PodDisruptionBudget"]


def test_a_misspelled_field_is_not_valid() -> None:
    job, *_ = read_manifests()
    job["spec"]["template"]["spec"]["securityContext"]["runAsNoRoot"] = True
    error = import_module("kubernetes_validate", INSTALL).ValidationError
    with pytest.raises(error, match="runAsNoRoot"):
        validate(job)


def test_the_pods_are_hardened_and_limited() -> None:
    (user,) = re.findall(r"useradd --uid (\d+)", (ROOT / "Dockerfile").read_text())
    for pod in pods():
        (container,) = pod["containers"]
        assert pod["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": int(user),
            "runAsGroup": int(user),
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert not pod["automountServiceAccountToken"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert container["resources"]["limits"].keys() == {"memory"}


def test_the_probes_are_operations_of_the_service() -> None:
    job, service = (pod["containers"][0] for pod in pods())
    assert "readinessProbe" not in job
    paths = [service[f"{probe}Probe"]["httpGet"]["path"] for probe in ("liveness", "readiness")]
    assert paths == ["/livez", "/readyz"]
    assert set(paths) <= app.openapi()["paths"].keys()


def test_the_variables_are_settings() -> None:
    variables = {each["name"] for pod in pods() for each in pod["containers"][0]["env"]}
    variables -= {"FORWARDED_ALLOW_IPS"}  # uvicorn's
    assert variables <= {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
