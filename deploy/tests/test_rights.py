"""Least privilege, held against what is really called: SDK calls in the Rust sources, AWS CLI calls in user data, and the
CloudWatch agent. A right nobody uses fails the test, and so does a call nobody may make."""

import re
from pathlib import Path

import botocore.session
import pytest
import templates

REPOSITORY = Path(__file__).resolve().parents[2]

# Service -> the crate that may call it, and what marks a file that does.
CRATES = {
    "s3": ("crates/store/src", "aws_sdk_s3"),
    "sqs": ("crates/jobs/src", "aws_sdk_sqs"),
    "ec2": ("origin/src", "aws_sdk_ec2"),
    "elbv2": ("crates/service/src", "aws_sdk_elasticloadbalancingv2"),
    "autoscaling": ("crates/service/src", "aws_sdk_autoscaling"),
}
PREFIX = {"elbv2": "elasticloadbalancing"}
# Where IAM's name for the right is not the call's own.
RIGHTS = {
    "s3:HeadObject": "s3:GetObject",
    "s3:HeadBucket": "s3:ListBucket",
    "s3:ListObjectsV2": "s3:ListBucket",
    "s3:CreateMultipartUpload": "s3:PutObject",
    "s3:UploadPart": "s3:PutObject",
    "s3:CompleteMultipartUpload": "s3:PutObject",
    "s3:ListParts": "s3:ListMultipartUploadParts",
    "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "s3:DeleteObjects": "s3:DeleteObject",
    "s3:CopyObject": "s3:PutObject",
    "sqs:SendMessageBatch": "sqs:SendMessage",
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
}
AGENT = {"logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"}
USER_DATA = {
    "s3 cp": "s3:GetObject",
    "ssm get-parameter": "ssm:GetParameter",
    "cloudformation signal-resource": "cloudformation:SignalResource",
}


def statements(role):
    """Every statement of a role's policies, by policy name."""
    policies = templates.load(role)["Resources"]["InstanceRole"]["Properties"]["Policies"]
    for policy in policies:
        for statement in policy["PolicyDocument"]["Statement"]:
            actions = statement["Action"]
            yield policy["PolicyName"], [actions] if isinstance(actions, str) else actions, statement


def allowed(role):
    return {action for _, actions, _ in statements(role) for action in actions}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def calls(service):
    """The rights that the Rust sources need of a service."""
    folder, marker = CRATES[service]
    # Test modules may call anything; they run against a simulated AWS.
    sources = [p for p in (REPOSITORY / folder).rglob("*.rs") if "tests" not in p.name and "tests" not in p.parts]
    texts = [re.split(r"\n#\[cfg\(test\)\]\nmod ", path.read_text())[0] for path in sources]
    assert any(marker in text for text in texts), f"no source names {marker}: look where the calls went"
    model = botocore.session.get_session().get_service_model(service)
    operations = {snake(name): name for name in model.operation_names}
    found = {
        operations[method]
        for text in texts
        if marker in text or service in ("s3", "sqs")
        for method in re.findall(r"\.\s*(\w+)\(\)", text)
        if method in operations
    }
    prefix = PREFIX.get(service, service)
    return {RIGHTS.get(f"{prefix}:{name}", f"{prefix}:{name}") for name in found}


@pytest.mark.parametrize("service", CRATES)
def test_policies_allow_exactly_what_programs_call(service):
    needed = calls(service)
    prefix = PREFIX.get(service, service) + ":"
    granted = {a for role in templates.ROLES for a in allowed(role) if a.startswith(prefix)}
    assert needed - granted == set(), "called, but allowed to no role"
    # User data copies the release with s3:GetObject, which the store needs as well.
    assert granted - needed == set(), "allowed, but called by nobody"


@pytest.mark.parametrize("role", templates.ROLES)
def test_a_node_may_do_what_its_start_does(role):
    text = templates.user_data(role)
    used = {right for command, right in USER_DATA.items() if f"aws {command}" in text}
    node = {a for name, actions, _ in statements(role) if name == "node" for a in actions}
    lifecycle = {"autoscaling:CompleteLifecycleAction", "autoscaling:RecordLifecycleActionHeartbeat"}
    assert node == used | AGENT | lifecycle


@pytest.mark.parametrize("role", templates.ROLES)
def test_every_right_is_bound_to_a_resource(role):
    unbound = {"ec2:DescribeNetworkInterfaces", "ec2:DescribeAddresses", "elasticloadbalancing:DescribeTargetHealth"}
    for name, actions, statement in statements(role):
        assert not any("*" in action for action in actions), (name, actions)
        if statement["Resource"] == "*":
            assert set(actions) <= unbound, f"{name}: AWS lets {actions} be bound to a resource"


def on_bucket(role, bucket):
    return {
        action
        for _, actions, statement in statements(role)
        if f"${{{bucket}}}/" in str(statement["Resource"])
        for action in actions
    }


def test_ingest_and_egress_are_separate():
    write = {"s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"}
    assert write <= on_bucket("origin", "IngestBucket") and not on_bucket("origin", "EgressBucket")
    assert on_bucket("transcoder", "IngestBucket") == {"s3:GetObject"}
    assert write <= on_bucket("transcoder", "EgressBucket")
    assert on_bucket("edge", "EgressBucket") == {"s3:GetObject"} and not on_bucket("edge", "IngestBucket")


def test_an_origin_may_move_only_its_own_address():
    for name, actions, statement in statements("origin"):
        if name == "addresses" and statement["Resource"] != "*":
            text = str(statement)
            assert "${Interface}" in text or "aws:ResourceTag/panocast" in text, actions


def test_only_workers_touch_the_queue():
    for role in ("origin", "edge"):
        assert not {a for a in allowed(role) if a.startswith("sqs:")}
