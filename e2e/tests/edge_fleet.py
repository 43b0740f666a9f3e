"""A fleet of one edge at a simulated AWS: a target group that sends to it, and an Auto Scaling group whose hook waits
for it. `edge_fleet.py ENDPOINT REGION` makes them and prints what they are called; `edge_fleet.py ENDPOINT REGION INSTANCE`
has the group take that instance out."""

import json
import sys

import boto3

ENDPOINT, REGION = sys.argv[1:3]


def client(service):
    return boto3.client(
        service, region_name=REGION, endpoint_url=ENDPOINT, aws_access_key_id="test", aws_secret_access_key="test"
    )


def make():
    ec2, balancer, scaling = client("ec2"), client("elbv2"), client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    scaling.create_launch_configuration(LaunchConfigurationName="edge", ImageId=image, InstanceType="c7g.large")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="edges", LaunchConfigurationName="edge", MinSize=1, MaxSize=1,
        AvailabilityZones=[f"{REGION}a"],
    )
    scaling.put_lifecycle_hook(
        AutoScalingGroupName="edges", LifecycleHookName="drain",
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
    )
    [instance] = [one["InstanceId"] for one in scaling.describe_auto_scaling_instances()["AutoScalingInstances"]]
    network = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    made = balancer.create_target_group(Name="edges", Protocol="HTTP", Port=8080, VpcId=network)
    group = made["TargetGroups"][0]["TargetGroupArn"]
    balancer.register_targets(TargetGroupArn=group, Targets=[{"Id": instance}])
    return {"instance": instance, "target_group": group}


if len(sys.argv) > 3:
    client("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=sys.argv[3], ShouldDecrementDesiredCapacity=False
    )
else:
    print(json.dumps(make()))
