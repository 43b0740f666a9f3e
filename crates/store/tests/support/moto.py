"""moto_server as our programs need it: S3's own root elements where moto 5.2 writes others, which the AWS SDK for Rust
refuses to read, and lifecycle hooks that instances wait for, which moto keeps and never asks.

    moto.py -H 127.0.0.1 -p 0            an empty one
    moto.py --deployment DEPLOY_FOLDER   one that carries deploy/cloudformation/storage.yaml and a fleet of one machine
                                         with a hook; says where as one line of JSON and lives until its input ends
"""

import json
import sys

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import EmptyResult
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer, main

ROOTS = {
    "ListPartsResponse": "ListPartsResult",
    "ListMultipartUploadsResponse": "ListMultipartUploadsResult",
}
WAITING, PROCEEDING = "Terminating:Wait", "Terminating:Proceed"
serialized = S3Response.serialized
terminate = AutoScalingResponse.terminate_instance_in_auto_scaling_group


def corrected(self, *args, **kwargs):
    status, headers, body = serialized(self, *args, **kwargs)
    for wrong, right in ROOTS.items():
        body = body.replace(wrong, right) if isinstance(body, str) else body.replace(wrong.encode(), right.encode())
    headers["content-length"] = str(len(body.encode() if isinstance(body, str) else body))
    return status, headers, body


def instance(response):
    """What a request is about: the instance's state and the hooks of its group."""
    backend, wanted = response.autoscaling_backend, response._get_param("InstanceId")
    states = [s for group in backend.autoscaling_groups.values() for s in group.instance_states]
    [state] = [s for s in states if s.instance.id == wanted]
    return state, backend.describe_lifecycle_hooks(state.auto_scaling_group_name)


def terminate_or_wait(self):
    state, hooks = instance(self)
    if not hooks:
        return terminate(self)
    state.lifecycle_state = WAITING
    return EmptyResult()


def waiting(response):
    """The state of an instance that a hook waits for, as the request says."""
    state, hooks = instance(response)
    if state.lifecycle_state != WAITING or response._get_param("LifecycleHookName") not in {h.name for h in hooks}:
        raise ValidationError(f"No active Lifecycle Action found with instance ID {state.instance.id}")
    return state


def complete_lifecycle_action(self):
    waiting(self).lifecycle_state = PROCEEDING
    return EmptyResult()


def record_lifecycle_action_heartbeat(self):
    waiting(self)
    return EmptyResult()


def deploy(folder):
    """Buckets, queue and notification by the deployment's own template, and a group with its hook."""
    sys.path.insert(0, f"{folder}/tests")
    import simulated

    simulated.teach_moto()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    simulated.Endpoint.url = "http://{}:{}".format(*server.get_host_and_port())
    with open(f"{folder}/cloudformation/storage.yaml") as template:
        given = {"Name": "panocast", "RecordingDays": "30", "LogDays": "7"}
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()]
        cloudformation = simulated.client("cloudformation")
        cloudformation.create_stack(StackName="storage", TemplateBody=template.read(), Parameters=parameters)
    [stack] = cloudformation.describe_stacks(StackName="storage")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    autoscaling = simulated.client("autoscaling")
    image = simulated.client("ec2").describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    autoscaling.create_launch_configuration(
        LaunchConfigurationName="machine", ImageId=image, InstanceType="c7g.large"
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="fleet", LaunchConfigurationName="machine", MinSize=1, MaxSize=1,
        AvailabilityZones=[f"{simulated.REGION}a"],
    )
    autoscaling.put_lifecycle_hook(
        AutoScalingGroupName="fleet", LifecycleHookName="drain",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
    )
    [machine] = autoscaling.describe_auto_scaling_instances()["AutoScalingInstances"]
    where = {
        "endpoint": simulated.Endpoint.url,
        "region": simulated.REGION,
        "ingest": outputs["IngestBucket"],
        "egress": outputs["EgressBucket"],
        "queue": simulated.client("sqs").get_queue_url(QueueName=outputs["JobQueueName"])["QueueUrl"],
        "instance": machine["InstanceId"],
    }
    print(json.dumps(where), flush=True)
    sys.stdin.read()
    server.stop()


S3Response.serialized = corrected
AutoScalingResponse.terminate_instance_in_auto_scaling_group = terminate_or_wait
AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action
AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat
if __name__ == "__main__":
    if sys.argv[1] == "--deployment":
        deploy(sys.argv[2])
    else:
        main(sys.argv[1:])
