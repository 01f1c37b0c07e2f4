"""Templates to wishes: real ones, and every rule of the contract's sections 2.6 and 5.6 by itself."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from heliostat.dialects.flyte.errors import FAILED_PRECONDITION, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.task import RAW_PODS
from heliostat.domain.engine import GpuType, Upscaling
from heliostat.domain.installation import Installation, gpu_catalogue
from heliostat.domain.secrets import JobSecret
from heliostat.domain.spec import Autoscaling
from heliostat.domain.validation import errors

from .templates import IMAGE, INSTALLATION, cluster, group, pod, real, refusal, template, wish

GIB = 1 << 30
CUSTOM = "template.custom.rayCluster"


# --- what flytekit itself makes -------------------------------------------------------------------------------------


def test_the_smallest_task_of_flytekit() -> None:
    made = wish(real("minimal"))
    assert (made.type, made.void, made.retries, made.timeout, made.shutdown, made.ttl) == (
        "ray", False, 0, None, True, timedelta(0),
    )  # fmt: skip
    assert made.cluster.release == "flyte-1.3.1 (Ray 2.60.0, Python 3.11)"
    assert [(row.name, row.replicas, row.min_replicas, row.max_replicas) for row in made.cluster.workers] == [
        ("w", 1, None, None)
    ]
    assert (made.cluster.head.cpu, made.cluster.head.memory, made.cluster.head.gpu) == (1, GIB, None)
    assert made.argv[0] == "pyflyte-execute" and made.warnings == () and made.env == {"A": "from settings"}


def test_a_task_with_everything_that_the_plugin_knows() -> None:
    made = wish(real("full"))
    spec = made.cluster
    cpu, gpu = spec.workers
    assert json.loads(spec.head.ray_start_params) == {"num-cpus": "0"}
    assert (spec.head.cpu, spec.head.memory) == (1, 2 * GIB)
    assert (cpu.replicas, cpu.min_replicas, cpu.max_replicas, cpu.shape.cpu, cpu.shape.memory) == (2, 1, 4, 1, 2 * GIB)
    assert (gpu.replicas, gpu.min_replicas, gpu.max_replicas, gpu.shape.gpu) == (0, 0, 2, "NVIDIA_TESLA_T4-1")
    assert spec.autoscaling == Autoscaling(True, 45, Upscaling.AGGRESSIVE)
    assert (made.ttl, made.timeout, made.retries) == (timedelta(seconds=120), timedelta(minutes=5), 2)
    assert made.runtime_env == {"env_vars": {"FOO": "bar"}, "pip": ["numpy"]} and made.working_dir is None
    assert made.existing == "mine" and made.labels == {"heliostat/cluster": "mine", "team": "a"}
    assert made.secrets == (
        JobSecret("user-info", "token", file="user-info/token"),
        JobSecret("db", "password", "v2", ("_FSEC_DB_V2_PASSWORD", "DB_PASSWORD")),
        JobSecret("Cert", "Key", file="cert/key"),
    )
    assert made.secret_paths == {"KEY_FILE": "cert/key"}
    assert set(spec.unhonoured) == {
        f"{CUSTOM}.headGroupSpec.rayStartParams.dashboard-host",
        f"{CUSTOM}.autoscalerOptions.image", f"{CUSTOM}.autoscalerOptions.env", f"{CUSTOM}.autoscalerOptions.resources",
        "template.extended_resources.shared_memory",
    }  # fmt: skip
    assert len(made.warnings) == 3, "one for each reason"


def test_a_task_whose_target_is_a_pod() -> None:
    made = wish(real("podded"))
    head, worker = made.cluster.head, made.cluster.workers[0]
    assert made.void and made.argv[0] == "pyflyte-execute" and made.image == IMAGE
    assert (head.queue, head.cpu, worker.shape.cpu, worker.type) == ("q", 2, 3, "GPU")
    assert made.env == {"A": "from settings"}, "what a group has its own value of is the nodes'"
    assert (head.env, worker.shape.env) == ({"E": "pod"}, {"E": "worker"})
    assert "template.k8s_pod.pod_spec.tolerations" in made.cluster.unhonoured
    assert "template.k8s_pod.pod_spec.containers[1]" in made.cluster.unhonoured
    assert json.loads(made.cluster.extras[RAW_PODS])["w"]["tolerations"] == [{"key": "k", "operator": "Exists"}]
    assert any("is taken for the container ray-worker" in text for text in made.warnings)
    assert any("type T4" in text for text in made.warnings)


def test_a_map_task_keeps_its_empty_argument_and_a_plain_task_is_a_head() -> None:
    mapped = wish(real("mapped"))
    assert mapped.argv[mapped.argv.index("vars") + 1] == ""
    made = wish(real("plain"))
    assert (made.type, made.cluster.workers, made.cluster.head.cpu, made.ttl) == ("python-task", (), 2, timedelta(0))


@pytest.mark.parametrize("name", ["minimal", "full", "podded", "mapped", "plain"])
def test_what_flytekit_makes_is_a_cluster_that_can_be(name: str) -> None:
    from dataclasses import replace

    spec = replace(wish(real(name)).cluster, name="a")
    assert list(errors(spec, INSTALLATION, {"root_queue", "q"})) == []


# --- custom ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("custom", [{}, {"rayCluster": {}}, {"rayCluster": None}, cluster()])
def test_nothing_said_is_a_head_alone(custom: dict[str, Any]) -> None:
    assert wish(template(custom)).cluster.workers == ()


@pytest.mark.parametrize("replicas", [2.0, "2", 2])
def test_numbers_come_in_several_forms(replicas: object) -> None:
    assert wish(template(cluster(group(replicas=replicas)))).cluster.workers[0].replicas == 2


def test_names_may_have_underscores_and_unknown_ones_do_no_harm() -> None:
    custom = {
        "ray_cluster": {
            "worker_group_spec": [{"group_name": "g", "replicas": 2, "min_replicas": None, "x": [1]}],
            "new": 1,
        },
        "shutdown_after_job_finishes": True,
        "ttl_seconds_after_finished": 9,
        "reusePolicy": {"ttl": 1},
    }
    made = wish(template(custom))
    assert (made.cluster.workers[0].replicas, made.ttl) == (2, timedelta(seconds=9))
    assert list(made.cluster.unhonoured) == ["template.custom.reusePolicy"]


@pytest.mark.parametrize(
    ("custom", "path"),
    [
        (cluster(group(replicas=2.5)), f"{CUSTOM}.workerGroupSpec[0].replicas"),
        (cluster(group(replicas="x")), f"{CUSTOM}.workerGroupSpec[0].replicas"),
        (cluster(group(replicas=True)), f"{CUSTOM}.workerGroupSpec[0].replicas"),
        (cluster(group(replicas=-1)), f"{CUSTOM}.workerGroupSpec[0].replicas"),
        (cluster(group(maxReplicas=3e9)), f"{CUSTOM}.workerGroupSpec[0].maxReplicas"),
        (cluster(group(), group()), f"{CUSTOM}.workerGroupSpec[1].groupName"),
        (cluster(group("")), f"{CUSTOM}.workerGroupSpec[0].groupName"),
        (cluster(group("a b")), f"{CUSTOM}.workerGroupSpec[0].groupName"),
        (cluster(group(rayStartParams={"num-cpu": "1"})), f"{CUSTOM}.workerGroupSpec[0].rayStartParams"),
        (cluster(group(rayStartParams={"num-cpus": "many"})), f"{CUSTOM}.workerGroupSpec[0].rayStartParams"),
        (cluster(group(rayStartParams={"num-cpus": 1})), f"{CUSTOM}.workerGroupSpec[0].rayStartParams.num-cpus"),
        (cluster(group(k8sPod=pod(resources={"limits": {"cpu": "1x"}}))),
         f"{CUSTOM}.workerGroupSpec[0].k8sPod.podSpec.containers[0].resources.limits.cpu"),
        (cluster(group(k8sPod=pod(env=[{"name": "A-B"}]))),
         f"{CUSTOM}.workerGroupSpec[0].k8sPod.podSpec.containers[0].env[0].name"),
        (cluster(headGroupSpec=[]), f"{CUSTOM}.headGroupSpec"),
        (cluster(enableAutoscaling="true"), f"{CUSTOM}.enableAutoscaling"),
        ({"rayCluster": "x"}, CUSTOM),
        ({"shutdownAfterJobFinishes": "true"}, "template.custom.shutdownAfterJobFinishes"),
        ({"ttlSecondsAfterFinished": 3e9}, "template.custom.ttlSecondsAfterFinished"),
        ({"ttlSecondsAfterFinished": -1}, "template.custom.ttlSecondsAfterFinished"),
        ({"runtimeEnvYaml": 1}, "template.custom.runtimeEnvYaml"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(custom: dict[str, Any], path: str) -> None:
    error = refusal(template(custom))
    assert (error.status, error.path) == (INVALID_ARGUMENT, path)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((5, 0, 0), (5, 0, 5)),
        ((5, 2, 10), (5, 2, 10)),
        ((5, 8, 3), (5, 5, 5)),
        ((0, 3, 4), (0, 0, 4)),
        ((1, -1, 5000), (1, 0, 1000)),
    ],
)
def test_bounds_are_clamped_around_the_replicas(given: tuple[int, ...], kept: tuple[int, ...]) -> None:
    row = group(replicas=given[0], minReplicas=given[1], maxReplicas=given[2])
    made = wish(template(cluster(row, enableAutoscaling=True))).cluster.workers[0]
    assert (made.replicas, made.min_replicas, made.max_replicas) == kept
    fixed = wish(template(cluster(row))).cluster.workers[0]
    assert (fixed.replicas, fixed.min_replicas, fixed.max_replicas) == (given[0], None, None)


@pytest.mark.parametrize(
    ("mode", "upscaling"),
    [("UPSCALING_MODE_CONSERVATIVE", Upscaling.CONSERVATIVE), (2, Upscaling.AGGRESSIVE), (None, Upscaling.DEFAULT),
     ("UPSCALING_MODE_NEW", Upscaling.DEFAULT), (99, Upscaling.DEFAULT)],
)  # fmt: skip
def test_the_autoscaler(mode: object, upscaling: Upscaling) -> None:
    options = {"upscalingMode": mode, "idleTimeoutSeconds": 0}
    made = wish(template(cluster(group(), enableAutoscaling=True, autoscalerOptions=options)))
    assert made.cluster.autoscaling == Autoscaling(True, None, upscaling)
    assert (f"{CUSTOM}.autoscalerOptions.upscalingMode" in made.cluster.unhonoured) == (
        mode in ("UPSCALING_MODE_NEW", 99)
    )


def test_start_parameters_that_the_platform_fixes_do_not_fail_the_task() -> None:
    params = {
        "num-cpus": "0", "block": "true", "node-ip-address": "$MY_POD_IP", "metrics-export-port": "8080",
        "resources": '"{\\"disk\\": 1}"', "include-dashboard": "false", "disable-usage-stats": "true", "no-monitor": "",
    }  # fmt: skip
    made = wish(template(cluster(headGroupSpec={"rayStartParams": params}))).cluster
    assert json.loads(made.head.ray_start_params) == {"num-cpus": "0", "resources": '{"disk": 1}', "no-monitor": "true"}
    assert {path.rpartition(".")[2] for path in made.unhonoured} == {
        "block", "node-ip-address", "metrics-export-port", "include-dashboard",
    }  # fmt: skip


def test_when_a_cluster_goes() -> None:
    settings = FlyteSettings(ttl=timedelta(hours=1))
    assert wish(template({"ttlSecondsAfterFinished": 5}), settings).ttl == timedelta(hours=1), (
        "without shutdown it says nothing"
    )
    assert wish(template({"shutdownAfterJobFinishes": True}), settings).ttl == timedelta(0)


# --- sizes ----------------------------------------------------------------------------------------------------------


def container(**fields: Any) -> dict[str, Any]:
    return {"image": IMAGE, "args": ["x"], **fields}


def core(**amounts: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in amounts.items()]


def test_an_overlay_goes_over_the_tasks_resources_name_by_name() -> None:
    base = container(
        resources={"requests": core(CPU="2", MEMORY="4Gi"), "limits": core(MEMORY="2048Mi", STORAGE="9Gi")}
    )
    overlay = group(
        k8sPod=pod(resources={"requests": {"memory": 1024.0}, "limits": {"memory": 2147483648.0, "cpu": 0.5}})
    )
    made = wish(template(cluster(overlay, group("x")), container=base)).cluster
    assert (made.head.cpu, made.head.memory) == (2, 4 * GIB)
    first, second = (row.shape for row in made.workers)
    assert (first.cpu, first.memory) == (2, 2 * GIB), "the larger of limit and request"
    assert (second.cpu, second.memory) == (2, 4 * GIB)


def test_zero_is_nothing_and_nothing_is_the_platforms_default() -> None:
    base = container(resources={"limits": core(CPU="0", GPU="1")})
    overlay = {"k8sPod": pod("ray-head", resources={"limits": {"nvidia.com/gpu": "0"}})}
    made = wish(
        template(cluster(headGroupSpec=overlay), container=base), FlyteSettings(cpu="1500m", memory="300Mi")
    ).cluster
    assert (made.head.cpu, made.head.memory, made.head.gpu) == (Decimal("1.5"), 300 << 20, None)


def test_a_setting_that_cannot_be_is_the_operators_fault() -> None:
    error = refusal(template(), FlyteSettings(memory="much"))
    assert error.status == FAILED_PRECONDITION and "flyte.memory" in str(error)


@pytest.mark.parametrize(
    ("device", "count", "row"),
    [
        ("nvidia-tesla-t4", "2", "NVIDIA_TESLA_T4-2"), ("nvidia-h100", "8", "NVIDIA_H100_80GB-8"),
        ("nvidia-l4", "1", "NVIDIA_L4-1"),
        ("nvidia-a100-80gb", "4", "NVIDIA_A100_80GB-4"), ("nvidia-a10g", "1", "own"), ("T4", "1", "ecs.gn6i-c4g1.xlarge"),
        ("", "1", "ecs.gn6i-c4g1.xlarge"), ("", "2", "NVIDIA_TESLA_T4-2"), ("", "16", "NVIDIA_TESLA_A100-16"),
    ],
)  # fmt: skip
def test_gpus_are_rows_of_the_catalogue(device: str, count: str, row: str) -> None:
    rows = [GpuType("ecs.gn6i-c4g1.xlarge", "T4", 1), GpuType("own", "A10G", 1)]
    installation = Installation(INSTALLATION.catalogue, gpu_catalogue(rows))
    given = template(
        container=container(resources={"limits": core(GPU=count)}),
        extendedResources={"gpuAccelerator": {"device": device}},
    )
    made = wish(given, installation=installation)
    assert made.cluster.head.gpu == row
    assert bool(made.warnings) == (not device)


@pytest.mark.parametrize(
    ("device", "amounts", "path"),
    [
        ("nvidia-l40s", {"nvidia.com/gpu": "1"}, "template.extended_resources.gpu_accelerator.device"),
        ("nvidia-tesla-t4", {"nvidia.com/gpu": "3"}, "template.extended_resources.gpu_accelerator.device"),
        ("tpu-v5p-slice", {"google.com/tpu": "4"}, "limits.google.com/tpu"),
        ("", {"nvidia.com/gpu": "500m"}, "limits.nvidia.com/gpu"),
        ("", {"nvidia.com/gpu": "7"}, "limits.nvidia.com/gpu"),
        ("", {"amd.com/gpu": 1}, "limits.amd.com/gpu"),
        ("", {"nvidia.com/mig-1g.5gb": 1}, "limits.nvidia.com/mig-1g.5gb"),
    ],
)  # fmt: skip
def test_gpus_that_cannot_be_had(device: str, amounts: dict[str, object], path: str) -> None:
    overlay = {"k8sPod": pod("ray-head", resources={"limits": amounts})}
    error = refusal(template(cluster(headGroupSpec=overlay), extendedResources={"gpuAccelerator": {"device": device}}))
    assert error.status == INVALID_ARGUMENT and str(error.path).endswith(path)


def test_other_resources_are_told() -> None:
    amounts = {"ephemeral-storage": "1Gi", "vpc.amazonaws.com/efa": 1.0, "hugepages-2Mi": 0}
    made = wish(template(cluster(headGroupSpec={"k8sPod": pod("ray-head", resources={"limits": amounts})})))
    assert len(made.cluster.unhonoured) == 2
    idle = wish(template(extendedResources={"gpuAccelerator": {"device": "nvidia-l4"}}))
    assert list(idle.cluster.unhonoured) == ["template.extended_resources.gpu_accelerator.device"]


# --- images, pods, places -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "release", "warns"),
    [
        (IMAGE, "flyte-1.3.1", False), (IMAGE.replace("py3.11", "py3.12"), "flyte-1.3.0", False),
        ("team/a:1", "flyte-2.0.0", False),
        ("team/unknown", "flyte-1.3.1", True), ("", "flyte-1.3.1", False),
    ],
)  # fmt: skip
def test_an_image_stands_for_a_release(image: str, release: str, warns: bool) -> None:
    settings = FlyteSettings(images={"team/a:*": "flyte-2.0.0"})
    made = wish(template(container=container(image=image)), settings)
    assert made.cluster.release.partition(" ")[0] == release
    assert bool(made.warnings) == warns


def test_groups_may_have_other_images_of_the_same_ray_and_python() -> None:
    settings = FlyteSettings(images={"torch": "flyte-2.0.0", "old": "ray-1.0.1", "gone": "ray-9.9.9"})
    made = wish(template(cluster(group(k8sPod=pod(image="torch")), group("x", k8sPod=pod(image="whatever")))), settings)
    assert [(row.shape.release or "").partition(" ")[0] for row in made.cluster.workers] == ["flyte-2.0.0", ""]
    head = wish(template(cluster(headGroupSpec={"k8sPod": pod("ray-head", image="torch")})), settings)
    assert head.cluster.release.startswith("flyte-2.0.0")
    for image in ("old", "gone"):
        error = refusal(template(cluster(group(k8sPod=pod(image=image)))), settings)
        assert (error.path or "").endswith("podSpec.containers[0].image")
    missing = refusal(template(container=container(image="x")), FlyteSettings(release="flyte-9.0.0"))
    assert missing.status == FAILED_PRECONDITION and "[flyte]" in str(missing)


def test_only_the_container_of_the_right_name_is_taken_of_several() -> None:
    overlay = pod(env=[{"name": "A", "value": "right"}])
    overlay["podSpec"]["containers"].append({"name": "other", "image": "x"})
    made = wish(template(cluster(group(k8sPod=overlay))))
    assert made.cluster.workers[0].shape.env == {"A": "right"}
    assert [path.rpartition(".")[2] for path in made.cluster.unhonoured] == ["containers[1]"]
    overlay["podSpec"]["containers"][0]["name"] = "neither"
    none = wish(template(cluster(group(k8sPod=overlay))))
    assert none.cluster.workers[0].shape.env == {} and len(none.cluster.unhonoured) == 2


def test_the_primary_container_of_a_pod() -> None:
    containers = [{"name": "a", "args": ["x"]}, {"name": "b", "args": ["y"], "command": ["run"]}]
    given = {"podSpec": {"containers": containers}, "primaryContainerName": "a"}
    assert wish(template(k8sPod=given)).argv == ("x",)
    assert wish(template(k8sPod=given, config={"primary_container_name": "b"})).argv == ("run", "y")
    error = refusal(template(k8sPod=given, config={"primary_container_name": "c"}))
    assert error.path == "template.k8s_pod.pod_spec.containers" and "a, b" in str(error)
    assert wish(template(k8sPod={"podSpec": {"containers": containers[:1]}})).argv == ("x",)


def test_variables_from_secrets_of_kubernetes_are_taken_from_ours() -> None:
    env = [
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "token"}}},
        {"name": "MAYBE", "valueFrom": {"secretKeyRef": {"name": "db", "key": "x", "optional": True}}},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        {"name": "A", "value": "1"},
    ]
    made = wish(template(k8sPod={"podSpec": {"containers": [{"name": "m", "args": ["x"], "env": env}]}}))
    assert made.secrets == (JobSecret("db", "token", variables=("TOKEN",)),) and made.env == {"A": "1"}
    assert len(made.cluster.unhonoured) == 2


@pytest.mark.parametrize(
    ("secret", "path"),
    [({"group": "g"}, "key"), ({"key": "k"}, "group"), ({"group": "g ", "key": "k"}, "group"),
     ({"group": "g", "key": "k", "groupVersion": "/"}, "group_version"),
     ({"group": "g", "key": "k", "envVar": "a b"}, "env_var")],
)  # fmt: skip
def test_secrets_that_cannot_be(secret: dict[str, str], path: str) -> None:
    assert (
        refusal(template(securityContext={"secrets": [secret]})).path == f"template.security_context.secrets[0].{path}"
    )


def test_labels_choose() -> None:
    def labelled(**labels: str) -> Any:
        return template(
            metadata={
                "metadata": {"labels": {f"heliostat/{key.replace('_', '-')}": text for key, text in labels.items()}}
            }
        )

    assert wish(labelled(reuse_idle="10m")).reuse_idle == timedelta(minutes=10)
    settings = FlyteSettings(reuse_idle=timedelta(hours=1))
    assert wish(template(), settings).reuse_idle == timedelta(hours=1)
    assert wish(labelled(reuse_idle="0"), settings).reuse_idle is None
    for bad in ("soon", "5", "9999999d"):
        assert refusal(labelled(reuse_idle=bad)).status == INVALID_ARGUMENT
    annotated = wish(template(metadata={"metadata": {"annotations": {"heliostat/cluster": "my cluster"}}}))
    assert annotated.existing == "my cluster"


def test_templates_that_are_none() -> None:
    assert (refusal(template(type="spark")).status, refusal(template(type="")).path) == (NOT_FOUND, "template.type")
    assert str(refusal(template(type="spark"))) == "Cannot find connector for task type: spark."
    eager = template()
    eager.metadata.is_eager = True
    assert (refusal(eager).status, refusal(eager).path) == (UNIMPLEMENTED, "template.metadata.is_eager")
    without = template()
    without.ClearField("container")
    assert refusal(without).path == "template.container"
    assert refusal(template(container={"image": IMAGE})).path == "template.container.args"
    assert refusal(template(container=container(args=["a\0"]))).path == "template.container.args[0]"


def test_a_fingerprint_is_of_what_makes_a_difference() -> None:
    plain = wish(template(cluster(group())))
    assert (
        plain.fingerprint
        == wish(template(cluster(group(k8sPod=pod(spec={"tolerations": [{"key": "x"}]}))))).fingerprint
    )
    assert plain.fingerprint == wish(template(cluster(group()), container=container(args=["other"]))).fingerprint
    others = [
        cluster(group("other")), cluster(group(replicas=2)), cluster(group(), enableAutoscaling=True),
        cluster(group(k8sPod=pod(env=[{"name": "A", "value": "1"}]))), cluster(group(rayStartParams={"num-cpus": "1"})),
    ]  # fmt: skip
    prints = {wish(template(custom)).fingerprint for custom in others}
    assert len(prints) == len(others) and plain.fingerprint not in prints


def test_a_template_that_would_take_long_to_read() -> None:
    large = template()
    large.config["x"] = "x" * (2 << 20)
    error = refusal(large)
    assert (error.status, error.path) == (INVALID_ARGUMENT, "template")
