"""What KubeRay's custom resources (ray.io/v1, operator 1.5.1 and later) hold: the fields that our manifests may use.

Names and kinds follow the operator's published types; a field that is not there is refused, as
`kubectl apply --validate=strict` does.
"""

from __future__ import annotations

from typing import Any

_NAMES = {"type": "string", "pattern": r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
_COUNT = {"type": "integer", "minimum": 0}
_QUANTITY = {"type": "string", "pattern": r"^[0-9.]+(m|Ki|Mi|Gi|Ti)?$"}
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_AMOUNTS = {"type": "object", "additionalProperties": _QUANTITY}
_CONTAINER = _closed(
    {
        "name": _NAMES,
        "image": {"type": "string", "minLength": 1},
        "resources": _closed({"requests": _AMOUNTS, "limits": _AMOUNTS}, "requests", "limits"),
        "env": _list(_closed({"name": {"type": "string"}, "value": {"type": "string"}}, "name")),
        "envFrom": _list(
            _closed({"secretRef": _closed({"name": _NAMES, "optional": {"type": "boolean"}}, "name")}, "secretRef")
        ),
        "ports": _list(
            _closed(
                {
                    "name": {**_NAMES, "maxLength": 15},
                    "containerPort": {"type": "integer", "minimum": 1, "maximum": 65535},
                },
                "containerPort",
            )
        ),
        "securityContext": _closed(
            {
                "allowPrivilegeEscalation": {"type": "boolean"},
                "runAsNonRoot": {"type": "boolean"},
                "capabilities": _closed({"drop": _list({"type": "string"}), "add": _list({"type": "string"})}),
                "seccompProfile": _closed({"type": {"enum": ["RuntimeDefault", "Localhost", "Unconfined"]}}, "type"),
            }
        ),
    },
    "name",
    "image",
)
_POD = _closed(
    {
        "metadata": _closed({"labels": _TEXTS, "annotations": _TEXTS}),
        "spec": _closed(
            {
                "serviceAccountName": _NAMES,
                "nodeSelector": _TEXTS,
                "tolerations": _list(
                    _closed(
                        {
                            "key": {"type": "string"},
                            "operator": {"enum": ["Exists", "Equal"]},
                            "value": {"type": "string"},
                            "effect": {"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute"]},
                        }
                    )
                ),
                "containers": {**_list(_CONTAINER), "minItems": 1},
            },
            "containers",
        ),
    },
    "spec",
)
_CLUSTER = _closed(
    {
        "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "authOptions": _closed({"mode": {"enum": ["disabled", "token"]}, "secretName": _NAMES}),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": _closed(
            {"idleTimeoutSeconds": _COUNT, "upscalingMode": {"enum": ["Default", "Aggressive", "Conservative"]}}
        ),
        "suspend": {"type": "boolean"},
        "headGroupSpec": _closed(
            {
                "serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]},
                "enableIngress": {"type": "boolean"},
                "rayStartParams": _TEXTS,
                "template": _POD,
            },
            "rayStartParams",
            "template",
        ),
        "workerGroupSpecs": _list(
            _closed(
                {
                    "groupName": _NAMES,
                    "replicas": _COUNT,
                    "minReplicas": _COUNT,
                    "maxReplicas": _COUNT,
                    "numOfHosts": _COUNT,
                    "rayStartParams": _TEXTS,
                    "template": _POD,
                },
                "groupName",
                "minReplicas",
                "maxReplicas",
                "rayStartParams",
                "template",
            )
        ),
    },
    "headGroupSpec",
)
_SPECS = {
    "RayJob": _closed(
        {
            "entrypoint": {"type": "string", "minLength": 1},
            "runtimeEnvYAML": {"type": "string"},
            "jobId": {"type": "string"},
            "backoffLimit": _COUNT,
            "activeDeadlineSeconds": {"type": "integer", "minimum": 1},
            "submissionMode": {"enum": ["K8sJobMode", "HTTPMode", "InteractiveMode"]},
            "submitterConfig": _closed({"backoffLimit": _COUNT}),
            "entrypointNumCpus": {"type": "number"},
            "entrypointNumGpus": {"type": "number"},
            "metadata": _TEXTS,
            "clusterSelector": _TEXTS,
            "shutdownAfterJobFinishes": {"type": "boolean"},
            "ttlSecondsAfterFinished": _COUNT,
            "suspend": {"type": "boolean"},
            "rayClusterSpec": _CLUSTER,
        },
        "entrypoint",
        "rayClusterSpec",
    ),
    "RayService": _closed(
        {"serveConfigV2": {"type": "string", "minLength": 1}, "rayClusterConfig": _CLUSTER},
        "serveConfigV2",
        "rayClusterConfig",
    ),
}


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema of a kind of manifest."""
    return _closed(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": kind},
            "metadata": _closed({"name": {**_NAMES, "maxLength": 47}, "namespace": _NAMES, "labels": _TEXTS}, "name"),
            "spec": _SPECS[kind],
        },
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    )
