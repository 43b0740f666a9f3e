"""The simulated AWS of the event: the whole deployment from its own templates, and what AWS does during an event.

    cloud.py DEPLOY_FOLDER HOST NETWORK_PREFIX

Says where everything is as one line of JSON, then does what standard input asks, one JSON object a line, and answers each
with one line. It lives until its input ends.
"""

import base64
import importlib.util
import json
import os
import re
import sys
from pathlib import Path

DEPLOY, HOST, PREFIX = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
sys.path.insert(0, str(DEPLOY / "tests"))
# Machines start from an image of our own; reading moto's takes seconds.
os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"

import simulated  # noqa: E402 (both lie with the deployment's tests)
import templates  # noqa: E402
from moto.autoscaling.models import autoscaling_backends  # noqa: E402
from moto.ec2.exceptions import EC2ClientError  # noqa: E402
from moto.ec2.models.instances import Instance  # noqa: E402
from moto.server import ThreadedMotoServer  # noqa: E402

NAME = "event"
GROUPS = ("origin-primary", "origin-backup", "edge", "transcoder")


def own_moto():
    """What moto needs for our programs, as other tests have it."""
    path = DEPLOY.parent / "crates/store/tests/support/moto.py"
    spec = importlib.util.spec_from_file_location("own_moto", path)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


def refuse_interfaces_in_use():
    """moto lets an interface be on two instances at once."""
    attach = Instance.attach_eni

    def attach_free(self, eni, device_index):
        if eni.instance and eni.instance.id != self.id and device_index != 0:
            raise EC2ClientError("InvalidNetworkInterface.InUse", f"Interface: [{eni.id}] in use.")
        return attach(self, eni, device_index)

    Instance.attach_eni = attach_free


def make_stack():
    """As deploy/up does, without the AWS CLI's seconds."""
    s3, cloudformation = simulated.client("s3"), simulated.client("cloudformation")
    s3.create_bucket(
        Bucket="templates", CreateBucketConfiguration={"LocationConstraint": simulated.REGION}
    )
    # As JSON: moto reads the short forms of YAML otherwise than AWS does.
    for name in templates.names():
        text = json.dumps(templates.load(name), default=str)
        text = re.sub(r'"TemplateURL": "', f'"TemplateURL": "{simulated.Endpoint.url}/templates/', text)
        s3.put_object(Bucket="templates", Key=f"{name}.yaml", Body=text.encode())
    ssm = simulated.client("ssm")
    for secret in ("peer-secret", "publish-key"):
        ssm.put_parameter(Type="SecureString", Name=f"/panocast/{NAME}/{secret}", Value=f"the-{secret}")
    simulated.offer_images()
    given = {
        "Name": NAME,
        "NetworkPrefix": PREFIX,
        "ReleaseBucket": "release",
        "ReleaseVersion": "0.1.0",
        "ReleaseChecksum": "0" * 64,
        "FrontSecret": "F" * 40,
    }
    cloudformation.create_stack(
        StackName=NAME,
        TemplateURL=f"{simulated.Endpoint.url}/templates/panocast.yaml",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
    )
    [stack] = cloudformation.describe_stacks(StackName=NAME)["Stacks"]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def group(name):
    names = [f"{NAME}-{name}"]
    return simulated.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=names)[
        "AutoScalingGroups"
    ][0]


def instances(name):
    """The members of a fleet that run."""
    ids = [one["InstanceId"] for one in group(name)["Instances"]]
    if not ids:
        return []
    reservations = simulated.client("ec2").describe_instances(InstanceIds=ids)["Reservations"]
    found = [one for reservation in reservations for one in reservation["Instances"]]
    return [
        {"id": one["InstanceId"], "address": one["PrivateIpAddress"]}
        for one in found
        if one["State"]["Name"] == "running"
    ]


def config(name):
    """The config that a member of a fleet writes at its first start."""
    template = group(name)["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
    [version] = simulated.client("ec2").describe_launch_template_versions(
        LaunchTemplateId=template["LaunchTemplateId"], Versions=["$Latest"]
    )["LaunchTemplateVersions"]
    script = base64.b64decode(version["LaunchTemplateData"]["UserData"]).decode()
    [text] = re.findall(r"toml <<END\n(.*?)\n\s*END\n", script, re.S)
    text = re.sub(r"^\s+", "", text, flags=re.M)
    return re.sub(r"\$\(secret ([a-z-]+)\)", r"the-\1", text)


def interfaces():
    """Where the fixed interfaces are: the instance, none when free."""
    found = simulated.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    return {
        one["NetworkInterfaceId"]: {
            "address": one["PrivateIpAddress"],
            "holder": one.get("Attachment", {}).get("InstanceId"),
        }
        for one in found
        if one["Description"].startswith(f"{NAME} ")
    }


def newcomer(name, before):
    """The member that was not there before, registered with the load balancer as its group would do; moto forgets to."""
    [new] = [one for one in instances(name) if one["id"] not in before]
    for arn in group(name).get("TargetGroupARNs", []):
        simulated.client("elbv2").register_targets(TargetGroupArn=arn, Targets=[{"Id": new["id"]}])
    return new


def replace(name, instance):
    """An instance is gone; its group starts another."""
    before = {one["id"] for one in instances(name)}
    members = autoscaling_backends[simulated.ACCOUNT][simulated.REGION].autoscaling_groups[f"{NAME}-{name}"]
    for member in members.instance_states:
        # moto replaces only those that it believes in service.
        member.lifecycle_state = "InService"
    simulated.client("ec2").terminate_instances(InstanceIds=[instance])
    return newcomer(name, before)


def grow(name):
    """What the alarm on waiting jobs does."""
    before = {one["id"] for one in instances(name)}
    autoscaling = simulated.client("autoscaling")
    autoscaling.set_desired_capacity(AutoScalingGroupName=f"{NAME}-{name}", DesiredCapacity=len(before) + 1)
    return newcomer(name, before)


def retire(instance):
    """A group takes a member out, and waits for it to answer the lifecycle hook."""
    simulated.client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=instance, ShouldDecrementDesiredCapacity=False
    )


def lifecycle(instance):
    """How far a member's group is with it."""
    found = simulated.client("autoscaling").describe_auto_scaling_instances(InstanceIds=[instance])
    return found["AutoScalingInstances"][0]["LifecycleState"]


def targets():
    """The instances that the load balancer sends requests to, if they are healthy."""
    elb = simulated.client("elbv2")
    [targets] = elb.describe_target_groups()["TargetGroups"]
    health = elb.describe_target_health(TargetGroupArn=targets["TargetGroupArn"])["TargetHealthDescriptions"]
    gone = ("draining", "unused")
    return [one["Target"]["Id"] for one in health if one["TargetHealth"]["State"] not in gone]


def jobs(queue):
    asked = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = simulated.client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=asked)["Attributes"]
    return sum(int(found[name]) for name in asked)


def recordings(bucket):
    found = simulated.client("s3").list_objects_v2(Bucket=bucket, Prefix="recordings/").get("Contents", [])
    return [one["Key"] for one in found if one["Key"].endswith(".mp4")]


def main():
    own_moto()
    simulated.teach_moto()
    refuse_interfaces_in_use()
    server = ThreadedMotoServer(ip_address=HOST, port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    # moto reads nested templates only from a host called localhost.
    simulated.Endpoint.url = f"http://localhost:{port}"
    outputs = make_stack()
    facts = {
        "port": port,
        "region": simulated.REGION,
        "configs": {name: config(name) for name in GROUPS},
        "instances": {name: instances(name) for name in GROUPS},
        "interfaces": interfaces(),
        "outputs": outputs,
    }
    print(json.dumps(facts), flush=True)
    verbs = {
        "replace": replace,
        "grow": grow,
        "retire": retire,
        "lifecycle": lifecycle,
        "targets": targets,
        "interfaces": interfaces,
        "jobs": lambda: jobs(outputs["transcodingQueueUrl"]),
        "recordings": lambda: recordings(outputs["transcodingIngressBucketId"]),
    }
    for line in sys.stdin:
        verb, *arguments = json.loads(line)
        print(json.dumps(verbs[verb](*arguments)), flush=True)


main()
