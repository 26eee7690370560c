"""Write the manifests of a site: KubeRay's, and the launcher's for machines of one's own, from ``site.yaml``.

``python deploy/generate.py`` (or ``make deploy``) replaces ``deploy/kuberay/*.yaml`` and ``deploy/on-premises.yaml``.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HEADER = "# Written by deploy/generate.py from deploy/site.yaml; change it there and run `make deploy`.\n"


class _Dumper(yaml.SafeDumper):
    """YAML as a person writes it: keys in their order, no anchors, blocks for text of several lines."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        """Write everything out: an anchor saves space and costs a reader."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def manifests(site: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return every manifest of a site by its path below this folder."""
    made = {f"kuberay/{stage}.yaml": ray_job(site, stage) for stage in site["stages"]}
    return {**made, "kuberay/serve.yaml": ray_service(site), "on-premises.yaml": on_premises(site)}


def ray_job(site: dict[str, Any], stage: str) -> dict[str, Any]:
    """Return the RayJob that runs one stage on a cluster of its own, which ends with it."""
    plan = site["stages"][stage]
    words = ["python", "-m", f"jobs.{stage}", "--workspace", site["workspace"], *map(str, plan.get("arguments", []))]
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": f"{site['name']}-{stage}"},
        "spec": {
            "entrypoint": shlex.join(words),
            # A stage that dies goes on where it was when it is started again, on a new cluster.
            "backoffLimit": 2,
            "submissionMode": "K8sJobMode",
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": 600,
            "rayClusterSpec": _cluster(site, plan["groups"]),
        },
    }


def ray_service(site: dict[str, Any]) -> dict[str, Any]:
    """Return the RayService that keeps the archive served, and replaces it without a gap when it changes."""
    config = {
        # The pod's own address: what may reach it is the Service's and the network policy's affair.
        "http_options": {"host": "0.0.0.0", "port": 8000, "request_timeout_s": 60},  # noqa: S104
        "applications": [
            {
                "name": "archive",
                "route_prefix": "/",
                "import_path": "serve_apps.archive:app",
                "args": {"workspace": site["workspace"], **site["serve"]["arguments"]},
            }
        ],
    }
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": {"name": f"{site['name']}-serve"},
        "spec": {
            "serveConfigV2": yaml.dump(config, Dumper=_Dumper, sort_keys=False),
            "rayClusterConfig": _cluster(site, site["serve"]["groups"]),
        },
    }


def on_premises(site: dict[str, Any]) -> dict[str, Any]:
    """Return the launcher's file for machines of one's own: the cloud's, with another provider and no node types."""
    place = site["on_premises"]
    cloud = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    kept = ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
    home = f"/home/{place['user']}"
    return {
        "cluster_name": f"{site['name']}-on-premises",
        "max_workers": len(place["workers"]),
        "provider": {"type": "local", "head_ip": place["head"], "worker_ips": place["workers"]},
        "auth": {"ssh_user": place["user"], "ssh_private_key": place["key"]},
        # Relative to the project's root: start it from there.
        "file_mounts": {re.sub(r"^/home/\w+", home, remote): local for remote, local in cloud["file_mounts"].items()},
        **{name: cloud[name] for name in kept},
    }


def _cluster(site: dict[str, Any], groups: list[str]) -> dict[str, Any]:
    return {
        "rayVersion": _pinned("ray"),
        # The operator makes a token, keeps it in a secret, and gives it to every pod of the cluster.
        "authOptions": {"mode": "token"},
        "enableInTreeAutoscaling": bool(groups),
        "headGroupSpec": {
            # No CPU slots: the head schedules, and is never the pod that runs out of memory. The report runs there.
            "rayStartParams": {"num-cpus": "0" if groups else str(site["groups"]["head"]["cpu"])},
            "template": _pod(site, "head", ports={"gcs": 6379, "dashboard": 8265, "client": 10001, "serve": 8000}),
        },
        "workerGroupSpecs": [
            {
                "groupName": group,
                "replicas": site["groups"][group]["min"],
                "minReplicas": site["groups"][group]["min"],
                "maxReplicas": site["groups"][group]["max"],
                "rayStartParams": {},
                "template": _pod(site, group),
            }
            for group in groups
        ],
    }


def _pod(site: dict[str, Any], group: str, ports: dict[str, int] | None = None) -> dict[str, Any]:
    size = site["groups"][group]
    resources: dict[str, Any] = {"cpu": str(size["cpu"]), "memory": f"{size['memory_gb']}Gi"}
    if size.get("gpus"):
        resources["nvidia.com/gpu"] = str(size["gpus"])
    container: dict[str, Any] = {
        "name": f"ray-{group}",
        "image": site["image"],
        "resources": {"requests": resources, "limits": resources},
        "envFrom": [{"secretRef": {"name": site["secret"], "optional": True}}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if ports:
        container["ports"] = [{"name": name, "containerPort": port} for name, port in ports.items()]
    spec: dict[str, Any] = {"serviceAccountName": site["service_account"], "containers": [container]}
    if size.get("gpus"):
        # Nodes with GPUs are commonly tainted, so that nothing else lands there.
        spec["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return {"spec": spec}


def _pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    if found is None:
        raise SystemExit(f"constraints.txt does not pin {package}: run `make pins`")
    return found[1]


def main() -> None:
    """Write the manifests."""
    site = yaml.safe_load((HERE / "site.yaml").read_text())
    made = manifests(site)
    for old in (HERE / "kuberay").glob("*.yaml"):
        old.unlink()
    for name, manifest in made.items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(HEADER + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=110))
    print(f"{len(made)} manifests in {HERE}")


if __name__ == "__main__":
    main()
