"""deploy/up and deploy/down against the simulated AWS: what they make is what was meant."""

import base64
import json
import re
import urllib.parse

import pytest
import simulated
from conftest import run


def parameters(more=()):
    chosen = {"EdgeMaxSize": "12", "TestSourceImage": "registry.example.org/panocast/test-source:0.1.0"}
    return [f"{k}={v}" for k, v in (chosen | dict(more)).items()]


@pytest.fixture(scope="module")
def deployment(aws, environment, release):
    """A deployment as deploy/up leaves it."""
    simulated.offer_images()
    result = run(environment, "up", "--release", release, *parameters())
    assert result.returncode == 0, result.stdout + result.stderr
    return Deployment(aws, result)


class Deployment:
    """Looks into a deployment."""

    def __init__(self, aws, result):
        self.aws = aws
        self.result = result

    @property
    def outputs(self):
        [stack] = self.aws("cloudformation").describe_stacks(StackName="panocast")["Stacks"]
        return {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}

    def group(self, name):
        [group] = self.aws("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[f"panocast-{name}"])[
            "AutoScalingGroups"
        ]
        return group

    def launch(self, name):
        """What an instance of a fleet is started with: launch data and user data in plain text."""
        policy = self.group(name)["MixedInstancesPolicy"]["LaunchTemplate"]["LaunchTemplateSpecification"]
        [version] = self.aws("ec2").describe_launch_template_versions(
            LaunchTemplateId=policy["LaunchTemplateId"], Versions=["$Latest"]
        )["LaunchTemplateVersions"]
        data = version["LaunchTemplateData"]
        return data, base64.b64decode(data["UserData"]).decode()


def test_r16_every_stack_is_there_and_tells_what_operators_know(deployment):
    stacks = deployment.aws("cloudformation").describe_stacks()["Stacks"]
    assert len(stacks) == 12 and {s["StackStatus"] for s in stacks} == {"CREATE_COMPLETE"}
    outputs = deployment.outputs
    site = outputs["cloudFrontDistributionUrl"]
    assert outputs["clientWebsiteUrl"] == f"{site}/?url="
    assert outputs["clientTestPatternUrl"] == f"{site}/?url=/hls/test.m3u8"
    assert outputs["primaryOriginElasticIp"] != outputs["backupOriginElasticIp"]
    assert outputs["testStreamEcsCluster"] == "panocast-test-source"
    for name in ("primaryOriginElasticIp", "backupOriginElasticIp", "clientWebsiteUrl", "clientTestPatternUrl"):
        assert name in deployment.result.stdout


def test_each_origin_has_an_address_of_its_own_in_a_zone_of_its_own(deployment):
    ec2, outputs = deployment.aws("ec2"), deployment.outputs
    addresses = {a["PublicIp"]: a for a in ec2.describe_addresses()["Addresses"]}
    zones = set()
    for role in ("primary", "backup"):
        address = addresses[outputs[f"{role}OriginElasticIp"]]
        [interface] = ec2.describe_network_interfaces(NetworkInterfaceIds=[address["NetworkInterfaceId"]])[
            "NetworkInterfaces"
        ]
        assert interface["PrivateIpAddress"] == outputs[f"{role}OriginElasticNetworkInterfacePrivateIpAddress"]
        zones.add(interface["AvailabilityZone"])
        group = deployment.group(f"origin-{role}")
        assert group["AvailabilityZones"] == [interface["AvailabilityZone"]], "an interface attaches only within its zone"
        _, text = deployment.launch(f"origin-{role}")
        assert f'eni = "{interface["NetworkInterfaceId"]}"' in text
        assert f'eip_allocation = "{address["AllocationId"]}"' in text
        other = {"primary": "backup", "backup": "primary"}[role]
        peer = outputs[f"{other}OriginElasticNetworkInterfacePrivateIpAddress"]
        assert f'peer = "http://{peer}:8081"' in text
        assert f"primary = {str(role == 'primary').lower()}\n" in text
    assert len(zones) == 2


def test_r13_publishers_come_in_by_rtmp_only_and_nobody_reaches_admin(deployment):
    groups = deployment.aws("ec2").describe_security_groups()["SecurityGroups"]
    open_to_all = set()
    for group in groups:
        if not group["GroupName"].startswith("panocast"):
            continue
        for rule in group["IpPermissions"]:
            ports = range(rule["FromPort"], rule["ToPort"] + 1)
            assert not {22, 9090, 9091, 9092} & set(ports), group["GroupName"]
            if any(r["CidrIp"] == "0.0.0.0/0" for r in rule["IpRanges"]):
                open_to_all |= set(ports)
    assert open_to_all == {1935}
    [balancer] = [g for g in groups if "Load balancer" in g["Description"]]
    [rule] = balancer["IpPermissions"]
    assert rule["FromPort"] == rule["ToPort"] == 80 and rule["PrefixListIds"], "only CloudFront's addresses"


@pytest.mark.parametrize("name", ["origin-primary", "origin-backup", "edge", "transcoder"])
def test_r5_p30_fleets_are_spot_from_four_pools_and_say_goodbye(deployment, name):
    group = deployment.group(name)
    distribution = group["MixedInstancesPolicy"]["InstancesDistribution"]
    assert distribution["SpotAllocationStrategy"] == "capacity-optimized"
    assert distribution["OnDemandPercentageAboveBaseCapacity"] == 0
    assert len({o["InstanceType"] for o in group["MixedInstancesPolicy"]["LaunchTemplate"]["Overrides"]}) == 4
    [hook] = deployment.aws("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName=f"panocast-{name}")[
        "LifecycleHooks"
    ]
    assert (hook["LifecycleTransition"], hook["HeartbeatTimeout"]) == ("autoscaling:EC2_INSTANCE_TERMINATING", 120)
    data, text = deployment.launch(name)
    assert data["MetadataOptions"]["HttpTokens"] == "required"
    assert len(text) < 16384 and "${" not in text, "EC2 takes 16 KiB of user data"


def test_r4_p30_edges_are_checked_drained_and_scaled(deployment):
    elb = deployment.aws("elbv2")
    [targets] = elb.describe_target_groups()["TargetGroups"]
    attributes = elb.describe_target_group_attributes(TargetGroupArn=targets["TargetGroupArn"])["Attributes"]
    attributes = {a["Key"]: a["Value"] for a in attributes}
    assert int(attributes["deregistration_delay.timeout_seconds"]) <= 90, "Spot gives 120 s"
    assert (targets["HealthCheckPath"], targets["Port"]) == ("/readyz", 8080)
    policies = deployment.aws("autoscaling").describe_policies(AutoScalingGroupName="panocast-edge")["ScalingPolicies"]
    metrics = {
        p["TargetTrackingConfiguration"]["PredefinedMetricSpecification"]["PredefinedMetricType"]: p for p in policies
    }
    assert metrics.keys() == {"ALBRequestCountPerTarget", "ASGAverageNetworkOut"}
    label = metrics["ALBRequestCountPerTarget"]["TargetTrackingConfiguration"]["PredefinedMetricSpecification"]
    assert re.fullmatch(r"app/[\w-]+/\w+/targetgroup/[\w-]+/\w+", label["ResourceLabel"])
    _, text = deployment.launch("edge")
    assert f'target_group_arn = "{targets["TargetGroupArn"]}"' in text


def test_the_load_balancer_answers_only_cloudfront(deployment):
    elb = deployment.aws("elbv2")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    [listener] = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert listener["DefaultActions"][0]["FixedResponseConfig"]["StatusCode"] == "403"
    rules = elb.describe_rules(ListenerArn=listener["ListenerArn"])["Rules"]
    [condition] = next(r for r in rules if r["Priority"] == "10")["Conditions"]
    assert condition["HttpHeaderConfig"]["HttpHeaderName"] == "X-Panocast-Front"
    [secret] = condition["HttpHeaderConfig"]["Values"]
    [edges] = [o for o in distribution(deployment)["Origins"]["Items"] if o["Id"] == "edges"]
    assert edges["DomainName"] == balancer["DNSName"]
    assert edges["CustomHeaders"]["Items"] == [{"HeaderName": "X-Panocast-Front", "HeaderValue": secret}]


def distribution(deployment):
    return deployment.aws("cloudfront").get_distribution_config(Id=deployment.outputs["cloudFrontDistributionId"])[
        "DistributionConfig"
    ]


def test_transcoders_sleep_until_there_is_work(deployment):
    group = deployment.group("transcoder")
    assert (group["MinSize"], group["DesiredCapacity"]) == (0, 0)
    policies = deployment.aws("autoscaling").describe_policies(AutoScalingGroupName="panocast-transcoder")
    by_type = {}
    for policy in policies["ScalingPolicies"]:
        by_type.setdefault(policy["PolicyType"], []).append(policy)
    [tracking] = by_type["TargetTrackingScaling"]
    assert tracking["TargetTrackingConfiguration"]["DisableScaleIn"], "a worker in a slice is not taken away"
    adjustments = {p["AdjustmentType"]: p["StepAdjustments"][0]["ScalingAdjustment"] for p in by_type["StepScaling"]}
    assert adjustments == {"ChangeInCapacity": 1, "ExactCapacity": 0}
    steps = {p["PolicyARN"] for p in by_type["StepScaling"]}
    alarms = deployment.aws("cloudwatch").describe_alarms()["MetricAlarms"]
    assert steps <= {arn for alarm in alarms for arn in alarm["AlarmActions"]}, "each has an alarm that pulls it"


def test_every_object_becomes_a_message_and_nobody_else_can_send_one(deployment):
    outputs, sqs = deployment.outputs, deployment.aws("sqs")
    bucket = outputs["transcodingIngressBucketId"]
    made = ["elsewhere/film.MOV", "recordings/test/2026 11.json", "recordings/test/2026 11.mp4"]
    for key in made:
        deployment.aws("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    messages = sqs.receive_message(QueueUrl=outputs["transcodingQueueUrl"], MaxNumberOfMessages=10)["Messages"]
    bodies = [json.loads(m["Body"]) for m in messages]
    keys = [r["s3"]["object"]["key"] for body in bodies for r in body.get("Records", [])]
    # S3 writes keys as a form would; moto encodes the slashes as well.
    assert sorted(urllib.parse.unquote_plus(key) for key in keys) == made
    attributes = sqs.get_queue_attributes(QueueUrl=outputs["transcodingQueueUrl"], AttributeNames=["All"])["Attributes"]
    [statement] = json.loads(attributes["Policy"])["Statement"]
    assert statement["Condition"]["ArnEquals"]["aws:SourceArn"] == f"arn:aws:s3:::{bucket}"
    assert json.loads(attributes["RedrivePolicy"])["maxReceiveCount"] == 3
    for key in made:
        deployment.aws("s3").delete_object(Bucket=bucket, Key=key)


@pytest.mark.parametrize("which", ["transcodingIngressBucketId", "transcodingEgressBucketId"])
def test_buckets_are_private_encrypted_and_tidy_up(deployment, which):
    s3, bucket = deployment.aws("s3"), deployment.outputs[which]
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert all(block.values()) and len(block) == 4
    [rule] = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert any("AbortIncompleteMultipartUpload" in r for r in rules)
    statements = simulated.BUCKET_POLICIES[bucket]["Statement"]
    assert any(s["Effect"] == "Deny" and "aws:SecureTransport" in str(s) for s in statements)
    readers = [s["Principal"] for s in statements if s["Effect"] == "Allow"]
    assert all(r == {"Service": "cloudfront.amazonaws.com"} for r in readers)


def test_p21_the_cache_key_of_live_is_the_path_and_the_directives(deployment):
    config = distribution(deployment)
    assert config["HttpVersion"] == "http2and3"
    behaviors = {b["PathPattern"]: b for b in config["CacheBehaviors"]["Items"]}
    assert list(behaviors) == ["/hls/*", "/vod/index.json", "/vod/*"]
    targets = {path: b["TargetOriginId"] for path, b in behaviors.items()}
    assert targets == {"/hls/*": "edges", "/vod/index.json": "edges", "/vod/*": "egress"}
    assert config["DefaultCacheBehavior"]["TargetOriginId"] == "edges", "the player page"
    live = simulated.POLICIES[behaviors["/hls/*"]["CachePolicyId"]]
    key = live["ParametersInCacheKeyAndForwardedToOrigin"]
    assert key["QueryStringsConfig"]["QueryStrings"]["Items"] == ["_HLS_msn", "_HLS_part", "_HLS_skip", "_HLS_pathway"]
    assert key["CookiesConfig"]["CookieBehavior"] == key["HeadersConfig"]["HeaderBehavior"] == "none"
    assert live["MinTTL"] == 0, "the origin's Cache-Control decides"


def test_r1_p23_errors_are_forgotten_within_a_second(deployment):
    errors = distribution(deployment)["CustomErrorResponses"]["Items"]
    kept = {e["ErrorCode"]: e["ErrorCachingMinTTL"] for e in errors}
    assert kept.keys() == {400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504} and max(kept.values()) <= 1


def test_running_up_again_changes_only_what_differs(deployment, environment, release):
    before = deployment.outputs
    interfaces = {a["NetworkInterfaceId"] for a in deployment.aws("ec2").describe_addresses()["Addresses"]}
    keys = deployment.aws("ssm").get_parameter(Name="/panocast/panocast/publish-key", WithDecryption=True)
    result = run(environment, "up", "--release", release, *parameters({"EdgeMaxSize": "20", "OriginsOnDemand": "primary"}))
    assert result.returncode == 0, result.stdout + result.stderr
    assert deployment.outputs == before, "addresses, buckets and site stay"
    assert {a["NetworkInterfaceId"] for a in deployment.aws("ec2").describe_addresses()["Addresses"]} == interfaces
    assert deployment.group("edge")["MaxSize"] == 20
    base = {
        role: deployment.group(f"origin-{role}")["MixedInstancesPolicy"]["InstancesDistribution"]["OnDemandBaseCapacity"]
        for role in ("primary", "backup")
    }
    assert base == {"primary": 1, "backup": 0}
    again = deployment.aws("ssm").get_parameter(Name="/panocast/panocast/publish-key", WithDecryption=True)
    assert again["Parameter"]["Value"] == keys["Parameter"]["Value"]


def test_up_says_what_is_missing(environment, tmp_path, release):
    missing = run(environment, "up", "--release", tmp_path)
    assert missing.returncode == 1 and "make package" in missing.stderr
    tampered = tmp_path / "release"
    tampered.mkdir()
    for path in release.iterdir():
        (tampered / path.name).write_bytes(path.read_bytes() + (b"x" if path.name.startswith("panocast-edge") else b""))
    refused = run(environment, "up", "--release", tampered)
    assert refused.returncode == 1 and "not those it lists" in refused.stderr
    assert run(environment, "up", "--frobnicate").returncode == 64
    unset = run(environment, "up", "--release", release, "ReleaseVersion=2.0.0")
    assert unset.returncode == 1 and "cannot set ReleaseVersion" in unset.stderr


def test_down_keeps_recordings_unless_told_and_leaves_nothing(deployment, environment):
    bucket = deployment.outputs["transcodingIngressBucketId"]
    deployment.aws("s3").put_object(Bucket=bucket, Key="recordings/test/a.mp4", Body=b"x")
    refused = run(environment, "down")
    assert refused.returncode == 1 and "--with-recordings" in refused.stderr
    gone = run(environment, "down", "--with-recordings")
    assert gone.returncode == 0, gone.stdout + gone.stderr
    aws = deployment.aws
    assert aws("cloudformation").describe_stacks()["Stacks"] == []
    assert aws("s3").list_buckets()["Buckets"] == []
    assert aws("ec2").describe_addresses()["Addresses"] == []
    assert aws("sqs").list_queues().get("QueueUrls", []) == []
    assert aws("cloudfront").list_distributions()["DistributionList"].get("Items", []) == []
    assert aws("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert simulated.POLICIES == {}
    for secret in ("peer-secret", "publish-key"):
        with pytest.raises(aws("ssm").exceptions.ParameterNotFound):
            aws("ssm").get_parameter(Name=f"/panocast/panocast/{secret}")
    twice = run(environment, "down")
    assert twice.returncode == 1 and "cannot find a deployment" in twice.stderr
