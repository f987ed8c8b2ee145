"""The Docker and Kubernetes runners: what each task would start, built by the operators themselves."""

import json
import re

import pytest

ADDRESSES = {
    "PAGEFLIP_TASK_IMAGE": "registry.example/pageflip-task:1",
    "PAGEFLIP_REMOTE": "s3://bucket/dvc",
    "PAGEFLIP_STORE": "s3://bucket/runs",
    "PAGEFLIP_UPLOADS": "s3://bucket/uploads",
    "PAGEFLIP_RESULTS": "s3://bucket/results",
    "MLFLOW_TRACKING_URI": "http://mlflow:5000",
}
CONTEXT = """
from types import SimpleNamespace
def context(task, try_number=1, map_index=-1, run_id="manual__2026-01-02T03:04:05+00:00", **more):
    instance = SimpleNamespace(dag_id="retrain", task_id=task, map_index=map_index, try_number=try_number)
    return {"run_id": run_id, "ti": instance, "dag": None, "params": {}, **more}
"""
PODS = (
    CONTEXT
    + """
import json
import retrain, score_uploads
from kubernetes.client import ApiClient
api, pods = ApiClient(), {}
operators = {task.task_id: task for task in retrain.dag.tasks if task.task_id != "approve_promotion"}
operators |= {name: score_uploads.dag.get_task(name) for name in ("plan", "summarise")}
operators["score"] = score_uploads.dag.get_task("score").unmap({"index": 3})
for name, operator in operators.items():
    pod = operator.build_pod_request_obj(context(name), dry_run=True)
    # there and back through the API's own types: a field they do not know, or of another type, is refused
    body = api.sanitize_for_serialization(pod)
    read = api._ApiClient__deserialize(body, "V1Pod")
    assert api.sanitize_for_serialization(read) == body, name
    pods[name] = {"body": body, "xcom": operator.do_xcom_push, "limit": operator.execution_timeout.total_seconds()}
print(json.dumps(pods))
"""
)
CONTAINERS = (
    CONTEXT
    + """
import json, os
import retrain
from docker import APIClient
class Daemon:
    # docker's own client makes the request; nothing answers it
    made = []
    def __init__(self):
        self.client = APIClient(base_url="http://127.0.0.1:9", version="1.41")
    def __getattr__(self, name):
        return getattr(self.client, name)
    def images(self, name): return ["there"]
    def containers(self, **_): return []
    def create_container(self, **arguments):
        self.made.append(arguments)
        raise KeyboardInterrupt
tasks = {task.task_id: task for task in retrain.dag.tasks}
daemon = Daemon()
def start(name, **given):
    operator = tasks[name]
    type(operator).cli = daemon
    try:
        operator.execute(context(name, **given))
    except KeyboardInterrupt:
        pass
    made = daemon.made[-1]
    hidden = {field: str(getattr(operator, field)) for field in operator.template_fields}
    return {**made, "xcom": operator.do_xcom_push, "remove": operator.auto_remove, "rendered": hidden}
"""
)


@pytest.fixture(scope="module")
def pods(in_airflow):
    more = {
        "PAGEFLIP_POD_SECRET": "pageflip-keys",
        "PAGEFLIP_POD_NODES": "pool=ml,zone=a",
        "PAGEFLIP_POD_GPU_NODES": "accelerator=h200",
        "PAGEFLIP_POD_TOLERATIONS": "team=ml:NoSchedule",
        "AWS_SECRET_ACCESS_KEY": "the-secret",
        "AWS_ENDPOINT_URL": "http://s3:8333",
    }
    return in_airflow(PODS, PAGEFLIP_RUNNER="kubernetes", **ADDRESSES, **more)


def base(pod: dict) -> dict:
    [container] = [found for found in pod["body"]["spec"]["containers"] if found["name"] == "base"]
    return container


def test_every_task_of_both_dags_is_a_pod_that_the_api_takes(pods):
    assert {"prepare", "train.efficientnet_lite0", "promote", "plan", "score", "summarise"} <= set(pods)
    for name, pod in pods.items():
        metadata, spec = pod["body"]["metadata"], pod["body"]["spec"]
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", metadata["name"]), name
        for value in metadata["labels"].values():
            assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", value), name
        assert spec["restartPolicy"] == "Never"
        assert len(spec["containers"]) == 1, "no sidecar for XCom"
        assert not pod["xcom"]
        assert base(pod)["image"] == ADDRESSES["PAGEFLIP_TASK_IMAGE"]
        assert base(pod)["terminationMessagePolicy"] == "FallbackToLogsOnError"


def test_a_pod_runs_the_same_command_under_a_deadline_of_its_own(pods):
    for name, pod in pods.items():
        arguments, limit = base(pod)["args"], pod["limit"]
        assert arguments[:3] == ["timeout", "--kill-after=30", f"{limit:.0f}"]
        assert pod["body"]["spec"]["activeDeadlineSeconds"] == limit + 600
        assert "command" not in base(pod) or not base(pod)["command"], name
    command = base(pods["prepare"])["args"][3:]
    assert command[:5] == ["python", "-m", "tasks.run_stage", "prepare", "--run"]
    assert command[5].startswith("manual__2026-01-02T03-04-05-00-00-")
    assert command[6:] == ["--data-version", "published"]
    assert base(pods["score"])["args"][3:6] == ["python", "-m", "tasks.score_uploads"]
    assert base(pods["score"])["args"][-2:] == ["--index", "3"]


def test_a_stage_with_a_gpu_asks_for_it_probes_it_and_may_run_on_its_nodes(pods):
    train, prepare = pods["train.efficientnet_lite0"], pods["prepare"]
    assert base(train)["resources"]["limits"] == {"memory": str(8 * 2**30), "nvidia.com/gpu": "1"}
    assert base(train)["args"][3:7] == [
        "sh", "-c", 'timeout 50 python -m pageflip doctor --cuda && exec "$@"', "sh"
    ]  # fmt: skip
    assert train["body"]["spec"]["nodeSelector"] == {"pool": "ml", "zone": "a", "accelerator": "h200"}
    assert [taint["key"] for taint in train["body"]["spec"]["tolerations"]] == ["team", "nvidia.com/gpu"]
    assert base(prepare)["resources"]["limits"] == {"memory": str(4 * 2**30)}
    assert prepare["body"]["spec"]["nodeSelector"] == {"pool": "ml", "zone": "a"}
    assert prepare["body"]["spec"]["tolerations"] == [
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}
    ]


def test_a_pod_is_told_the_addresses_and_gets_secrets_from_the_cluster_only(pods):
    for pod in pods.values():
        given = {entry["name"]: entry["value"] for entry in base(pod)["env"]}
        assert given["PAGEFLIP_STORE"] == "s3://bucket/runs"
        assert given["AWS_ENDPOINT_URL"] == "http://s3:8333"
        assert base(pod)["envFrom"] == [{"secretRef": {"name": "pageflip-keys"}}]
        assert "the-secret" not in json.dumps(pod)


def test_a_pod_has_no_rights_that_a_task_does_not_need(pods):
    for pod in pods.values():
        spec = pod["body"]["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["automountServiceAccountToken"] is False
        assert base(pod)["securityContext"]["allowPrivilegeEscalation"] is False
        assert base(pod)["securityContext"]["capabilities"]["drop"] == ["ALL"]
        mounted = {mount["name"] for mount in base(pod)["volumeMounts"]}
        assert mounted == {volume["name"] for volume in spec["volumes"]}


@pytest.fixture(scope="module")
def containers(in_airflow):
    script = (
        CONTAINERS
        + """
train = "train.efficientnet_lite0"
made = [start(train), start(train, try_number=2), start(train, map_index=4), start("prepare")]
made.append(start(train, run_id="manual__2026-01-02T03:04:05+00:01"))
print(json.dumps(made))
"""
    )
    connection = {"conn_type": "aws", "login": "key", "password": "the-secret", "extra": {"region_name": "here"}}
    more = {
        "PAGEFLIP_RUNNER": "docker",
        "PAGEFLIP_TASK_CONNECTION": "tasks",
        "AIRFLOW_CONN_TASKS": json.dumps(connection),
        "PAGEFLIP_DOCKER_NETWORK": "pageflip",
        "PAGEFLIP_TASK_CPUS": "1.5",
    }
    return in_airflow(script, **ADDRESSES, **more)


def test_a_container_has_a_name_of_its_own_in_each_run_task_and_try(containers):
    names = [made["name"] for made in containers]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}", name)
    labels = [made["labels"]["org.pageflip.task"] for made in containers]
    assert labels[0] == labels[1], "what an earlier try left is found by the label"
    assert len(set(labels)) == 4


def test_a_container_gets_gpus_and_limits_from_meta(containers):
    train, prepare = containers[0]["host_config"], containers[3]["host_config"]
    [request] = train["DeviceRequests"]
    assert (request["Count"], request["Capabilities"]) == (1, [["gpu"]])
    assert prepare.get("DeviceRequests") is None
    assert (train["Memory"], prepare["Memory"]) == (8 * 2**30, 4 * 2**30)
    assert (train["CpuShares"], train["ShmSize"]) == (1536, 2**30)
    assert train["NetworkMode"] == "pageflip"


def test_a_container_runs_the_same_command_as_a_pod_and_is_removed_after_it(containers, pods):
    assert containers[0]["command"] == base(pods["train.efficientnet_lite0"])["args"]
    assert containers[3]["command"] == base(pods["prepare"])["args"]
    for made in containers:
        assert (made["xcom"], made["remove"]) == (False, "force")


def test_secrets_of_the_connection_reach_the_container_and_no_rendered_field(containers):
    for made in containers:
        environment = made["environment"]
        assert environment["AWS_ACCESS_KEY_ID"] == "key"
        assert environment["AWS_SECRET_ACCESS_KEY"] == "the-secret"
        assert environment["AWS_DEFAULT_REGION"] == "here"
        assert environment["PAGEFLIP_STORE"] == "s3://bucket/runs"
        assert not any("AIRFLOW" in name for name in environment)
        assert "the-secret" not in json.dumps([made["rendered"], made["command"], made["labels"], made["name"]])


def test_with_servers_for_all_a_container_mounts_nothing_of_the_host(containers):
    for made in containers:
        [mount] = made["host_config"]["Mounts"]
        assert (mount["Type"], mount["Source"], mount["Target"]) == ("volume", "pageflip-task", "/var/lib/pageflip")


def test_local_folders_are_mounted_at_their_own_paths_and_only_those(in_airflow, tmp_path):
    script = CONTAINERS + "print(json.dumps(start('prepare')))"
    folders = {
        "PAGEFLIP_REMOTE": str(tmp_path / "remote"),
        "PAGEFLIP_STORE": f"file://{tmp_path}/runs",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/state/mlflow.db",
        "PAGEFLIP_TASK_USER": "0:0",
        "PAGEFLIP_RUNNER": "docker",
    }
    made = in_airflow(script, **{**ADDRESSES, **folders})
    mounts = {mount["Target"]: (mount["Type"], mount["Source"]) for mount in made["host_config"]["Mounts"]}
    assert mounts == {
        **{str(tmp_path / name): ("bind", str(tmp_path / name)) for name in ("remote", "runs", "state")},
        "/var/lib/pageflip": ("tmpfs", None),
    }
    assert made["user"] == "0:0"
    assert made["environment"]["PAGEFLIP_HOME"] == str(tmp_path / "state")


def test_what_the_daemon_answers_is_final_where_a_retry_would_not_help(in_airflow):
    found = in_airflow(
        CONTAINERS
        + """
from airflow.providers.docker.exceptions import DockerContainerFailedException
from docker.errors import APIError, ImageNotFound
answers = [DockerContainerFailedException(f"Docker container failed: {{'StatusCode': {code}}}", logs=["the reason"])
           for code in (65, 78, 69, 124, 137)]
answers += [APIError("500", explanation='could not select device driver "" with capabilities: [[gpu]]'),
            ImageNotFound("404", explanation="no such image"), APIError("500", explanation="disk full")]
found = []
for answer in answers:
    def create_container(answer=answer, **_):
        raise answer
    daemon.create_container = create_container
    try:
        start("train.efficientnet_lite0")
    except Exception as error:
        found.append([type(error).__name__, str(error)])
print(json.dumps(found))
""",
        PAGEFLIP_RUNNER="docker",
        **ADDRESSES,
    )
    final, retry = "AirflowFailException", "AirflowException"
    assert [kind for kind, _ in found] == [final, final, retry, retry, retry, final, final, retry]
    assert all("the reason" in message for _, message in found[:5])
    assert "over its time limit" in found[3][1]
    assert "out of memory" in found[4][1]
    assert "this stage requests 1 GPU(s), but the Docker host has none" in found[5][1]
    assert "build it from docker/task.Dockerfile" in found[6][1]


def test_gpus_can_be_switched_off(in_airflow):
    script = CONTAINERS + "print(json.dumps(start('train.efficientnet_lite0')))"
    made = in_airflow(script, PAGEFLIP_RUNNER="docker", PAGEFLIP_TASK_GPU="off", **ADDRESSES)
    assert made["host_config"].get("DeviceRequests") is None
    assert made["command"][3:5] == ["python", "-m"]


@pytest.mark.parametrize(
    ("runner", "given", "message"),
    [
        ("docker", {"PAGEFLIP_REMOTE": ""}, "PAGEFLIP_RUNNER=docker needs PAGEFLIP_REMOTE"),
        ("docker", {"PAGEFLIP_TASK_GPU": "maybe"}, "PAGEFLIP_TASK_GPU is 'maybe'"),
        ("docker", {"PAGEFLIP_TASK_CPUS": "0"}, "PAGEFLIP_TASK_CPUS is '0'"),
        ("docker", {"PAGEFLIP_TASK_MEMORY": "much"}, "the memory 'much' is not a size"),
        ("kubernetes", {"PAGEFLIP_STORE": "/runs"}, "cannot use the folders /runs"),
        ("kubernetes", {"PAGEFLIP_POD_NODES": "ml"}, "PAGEFLIP_POD_NODES has 'ml'"),
        ("kubernetes", {"PAGEFLIP_POD_TOLERATIONS": "a:Never"}, "'a:Never' is not a toleration"),
        ("kubernetes", {"PAGEFLIP_POD_START_SECONDS": "soon"}, "PAGEFLIP_POD_START_SECONDS is 'soon'"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_when_the_dag_is_read(in_airflow, runner, given, message):
    done = in_airflow("import score_uploads", check=False, **{**ADDRESSES, "PAGEFLIP_RUNNER": runner, **given})
    assert done.returncode != 0
    assert message in done.stderr


def test_a_pods_exit_code_says_whether_a_retry_may_help(in_airflow):
    found = in_airflow(
        PODS.split("api, pods")[0]
        + """
from kubernetes.client import models as k8s
found = []
for code in (65, 78, 69, 137, None, 0):
    phase = "Succeeded" if code == 0 else "Failed"
    operator = retrain.dag.get_task("prepare")
    deleted = []
    operator.process_pod_deletion = lambda pod, **_: deleted.append(pod)
    for call in ("patch_already_checked", "_read_pod_events", "_read_pod_container_states"):
        setattr(operator, call, lambda *_, **__: None)
    operator.is_istio_enabled = lambda pod: False
    ended = k8s.V1ContainerStateTerminated(exit_code=code, message="error: the reason") if code is not None else None
    status = k8s.V1ContainerStatus(name="base", image="i", image_id="i", ready=False, restart_count=0,
                                   state=k8s.V1ContainerState(terminated=ended))
    pod = k8s.V1Pod(metadata=k8s.V1ObjectMeta(name="p"),
                    status=k8s.V1PodStatus(phase=phase, container_statuses=[status] if ended else None))
    try:
        operator.cleanup(pod, pod)
        found.append(["success", "", len(deleted)])
    except Exception as error:
        found.append([type(error).__name__, str(error), len(deleted)])
print(json.dumps(found))
""",
        PAGEFLIP_RUNNER="kubernetes",
        **ADDRESSES,
    )
    final, retry = "AirflowFailException", "AirflowException"
    assert [kind for kind, _, _ in found] == [final, final, retry, retry, retry, "success"]
    assert all(count == 1 for _, _, count in found), "the pod is deleted however it ended"
    assert all("error: the reason" in message for _, message, _ in found[:4])
