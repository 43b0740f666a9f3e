"""A simulated AWS that can carry the whole deployment: moto, plus the resource types its CloudFormation does not know.

Each missing type is created by the API call that CloudFormation itself would make, sent to the same moto server, so that
botocore checks every name and type of the properties and moto keeps the result where tests can ask for it. Two CloudFront
policies have no API in moto either: their shape is checked and a copy kept here. docs/guide/simulated-aws.md lists all of
it. Not here: what only AWS can say (quotas, capacity, whether an instance boots).
"""

import functools
import json
import uuid

import boto3
import botocore.session
from botocore.validate import ParamValidator
from moto.cloudformation.models import ChangeSet, Stack, cloudformation_backends, get_stack_from_s3_url
from moto.cloudformation.parsing import ResourceMap, get_model_map
from moto.core.common_models import CloudFormationModel
from moto.ec2.models.elastic_ip_addresses import ElasticAddress
from moto.elbv2.models import FakeLoadBalancer, FakeTargetGroup
from moto.s3.models import FakeBucket
from moto.ssm.models import ssm_backends

REGION = "eu-central-1"
ACCOUNT = "123456789012"


class Endpoint:
    """Where the simulated AWS listens; set when it starts."""

    url = None


def client(service, region=REGION):
    """A boto3 client of the simulated AWS."""
    return _client(service, region, Endpoint.url)


@functools.cache
def _client(service, region, endpoint):
    """Each costs a tenth of a second to make."""
    return boto3.client(
        service,
        region_name=region,
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def typed(value, shape):
    """CloudFormation's JSON may say "60" where the API wants 60: convert by the API's own model."""
    if shape.type_name == "structure" and isinstance(value, dict):
        members = shape.members
        return {k: typed(v, members[k]) if k in members else v for k, v in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [typed(v, shape.member) for v in value]
    if shape.type_name in ("integer", "long"):
        return int(value)
    if shape.type_name in ("double", "float"):
        return float(value)
    if shape.type_name == "boolean" and isinstance(value, str):
        return value == "true"
    return value


def counted(value, shape):
    """CloudFront's API wraps lists as {Quantity, Items}; its templates do not."""
    if shape.type_name != "structure":
        return [counted(v, shape.member) for v in value] if shape.type_name == "list" else value
    members = shape.members
    if "Quantity" in members and not (isinstance(value, dict) and "Quantity" in value):
        items = value.get("Items", []) if isinstance(value, dict) else value
        item_shape = members["Items"]
        rest = {k: v for k, v in value.items() if k != "Items"} if isinstance(value, dict) else {}
        return rest | {"Quantity": len(items), "Items": counted(items, item_shape)}
    return {k: counted(v, members[k]) if k in members else v for k, v in value.items()}


def shape_of(service, operation):
    """The API's model of what an operation takes."""
    return botocore.session.get_session().get_service_model(service).operation_model(operation).input_shape


class Resource(CloudFormationModel):
    """What moto keeps of a resource we made for it."""

    # moto files its models by the second word of their module.
    __module__ = "moto.deployment.models"

    def __init__(self, physical_id, attributes=None):
        self.physical_resource_id = physical_id
        self.attributes = attributes or {}

    def get_cfn_attribute(self, name):
        return self.attributes[name]

    def delete(self, account_id, region_name):
        self.remove(self.physical_resource_id)

    @staticmethod
    def cloudformation_name_type():
        return ""

    @classmethod
    def has_cfn_attr(cls, attr):
        return True

    @classmethod
    def create_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name, **kwargs):
        physical_id, attributes = cls.put(resource_name, cloudformation_json.get("Properties", {}))
        return cls(physical_id, attributes)

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name
    ):
        physical_id, attributes = cls.put(original_resource.physical_resource_id, cloudformation_json["Properties"])
        resource = cls(physical_id, attributes)
        resource.logical_resource_id = original_resource.logical_resource_id
        resource.cf_resource_type = original_resource.cf_resource_type
        return resource

    @classmethod
    def delete_from_cloudformation_json(cls, resource_name, cloudformation_json, account_id, region_name):
        cls.remove(resource_name)


KINDS = {}
"""The types made here, by CloudFormation's names."""


def resource(kind):
    """Makes a class with `put(name, properties) -> (id, attributes)` and `remove(id)` a CloudFormation type."""

    def make(cls):
        own = {"__module__": Resource.__module__, "cloudformation_type": staticmethod(lambda: kind)}
        KINDS[kind] = type(Resource)(cls.__name__, (cls, Resource), own)
        return KINDS[kind]

    return make


@resource("AWS::AutoScaling::LifecycleHook")
class LifecycleHook:
    @staticmethod
    def put(name, properties):
        client("autoscaling").put_lifecycle_hook(
            **typed(properties, shape_of("autoscaling", "PutLifecycleHook"))
        )
        return properties["AutoScalingGroupName"] + "|" + properties["LifecycleHookName"], {}

    @staticmethod
    def remove(name):
        """It goes with its group."""


@resource("AWS::AutoScaling::ScalingPolicy")
class ScalingPolicy:
    @staticmethod
    def put(name, properties):
        properties = {"PolicyName": name.rsplit("/", 1)[-1]} | properties
        autoscaling = client("autoscaling")
        autoscaling.put_scaling_policy(**typed(properties, shape_of("autoscaling", "PutScalingPolicy")))
        [made] = autoscaling.describe_policies(
            AutoScalingGroupName=properties["AutoScalingGroupName"], PolicyNames=[properties["PolicyName"]]
        )["ScalingPolicies"]
        return made["PolicyARN"], {"Arn": made["PolicyARN"]}

    @staticmethod
    def remove(name):
        """It goes with its group."""


@resource("AWS::CloudWatch::Alarm")
class Alarm:
    @staticmethod
    def put(name, properties):
        properties = {"AlarmName": name} | properties
        client("cloudwatch").put_metric_alarm(**typed(properties, shape_of("cloudwatch", "PutMetricAlarm")))
        return properties["AlarmName"], {}

    @staticmethod
    def remove(name):
        client("cloudwatch").delete_alarms(AlarmNames=[name])


BUCKET_POLICIES = {}
"""Bucket policies as the templates have them."""


@resource("AWS::S3::BucketPolicy")
class BucketPolicy:
    @staticmethod
    def put(name, properties):
        bucket = properties["Bucket"]
        BUCKET_POLICIES[bucket] = properties["PolicyDocument"]
        # moto enforces a Deny whatever its conditions say, so it gets the policy without conditional ones.
        kept = [s for s in properties["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
        if kept:
            document = properties["PolicyDocument"] | {"Statement": kept}
            client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(document))
        return bucket, {}

    @staticmethod
    def remove(name):
        del BUCKET_POLICIES[name]
        client("s3").delete_bucket_policy(Bucket=name)


@resource("AWS::SQS::QueuePolicy")
class QueuePolicy:
    @staticmethod
    def put(name, properties):
        for queue in properties["Queues"]:
            client("sqs").set_queue_attributes(
                QueueUrl=queue, Attributes={"Policy": json.dumps(properties["PolicyDocument"])}
            )
        return name, {}

    @staticmethod
    def remove(name):
        """It goes with its queue."""


@resource("AWS::SNS::TopicPolicy")
class TopicPolicy:
    @staticmethod
    def put(name, properties):
        for topic in properties["Topics"]:
            client("sns").set_topic_attributes(
                TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(properties["PolicyDocument"])
            )
        return name, {}

    @staticmethod
    def remove(name):
        """It goes with its topic."""


@resource("AWS::SNS::Subscription")
class Subscription:
    @staticmethod
    def put(name, properties):
        return client("sns").subscribe(**properties, ReturnSubscriptionArn=True)["SubscriptionArn"], {}

    @staticmethod
    def remove(name):
        client("sns").unsubscribe(SubscriptionArn=name)


@resource("AWS::EC2::EIPAssociation")
class EIPAssociation:
    @staticmethod
    def put(name, properties):
        return client("ec2").associate_address(**properties)["AssociationId"], {}

    @staticmethod
    def remove(name):
        client("ec2").disassociate_address(AssociationId=name)


@resource("AWS::EC2::SecurityGroupIngress")
class SecurityGroupIngress:
    """moto has this type, but without prefix lists."""

    @staticmethod
    def put(name, properties):
        permission = {key: properties[key] for key in ("IpProtocol", "FromPort", "ToPort")}
        for key, there, here in (
            ("CidrIp", "IpRanges", "CidrIp"),
            ("SourcePrefixListId", "PrefixListIds", "PrefixListId"),
        ):
            if key in properties:
                permission[there] = [{here: properties[key]}]
        made = client("ec2").authorize_security_group_ingress(
            GroupId=properties["GroupId"], IpPermissions=[typed(permission, PERMISSION)]
        )
        return properties["GroupId"] + "|" + made["SecurityGroupRules"][0]["SecurityGroupRuleId"], {}

    @staticmethod
    def remove(name):
        """It goes with its group."""


PERMISSION = shape_of("ec2", "AuthorizeSecurityGroupIngress").members["IpPermissions"].member


@resource("AWS::CloudFront::OriginAccessControl")
class OriginAccessControl:
    @staticmethod
    def put(name, properties):
        made = client("cloudfront").create_origin_access_control(**properties)["OriginAccessControl"]
        return made["Id"], {"Id": made["Id"]}

    @staticmethod
    def remove(name):
        client("cloudfront").delete_origin_access_control(Id=name)


RENAMED = {
    "IPV6Enabled": "IsIPV6Enabled",
    "OriginCustomHeaders": "CustomHeaders",
    "AcmCertificateArn": "ACMCertificateArn",
    "SslSupportMethod": "SSLSupportMethod",
}


def renamed(value):
    """CloudFront's properties that have another name in its API."""
    if isinstance(value, list):
        return [renamed(v) for v in value]
    if isinstance(value, dict):
        return {RENAMED.get(k, k): renamed(v) for k, v in value.items()}
    return value


@resource("AWS::CloudFront::Distribution")
class Distribution:
    @staticmethod
    def put(name, properties):
        cloudfront = client("cloudfront")
        shape = shape_of("cloudfront", "CreateDistribution").members["DistributionConfig"]
        config = renamed(properties["DistributionConfig"])
        for behavior in [config["DefaultCacheBehavior"], *config["CacheBehaviors"]]:
            # The template lists the methods that are allowed; those that are cached have a default.
            behavior["AllowedMethods"] = {"Items": behavior["AllowedMethods"]}
        for origin in config["Origins"]:
            custom = origin.get("CustomOriginConfig")
            if custom:
                custom |= {"HTTPSPort": 443}
        known = {d["Id"]: d for d in cloudfront.list_distributions()["DistributionList"].get("Items", [])}
        config = typed(counted(config, shape), shape)
        if name in known:
            now = cloudfront.get_distribution_config(Id=name)
            config |= {"CallerReference": now["DistributionConfig"]["CallerReference"]}
            made = cloudfront.update_distribution(Id=name, IfMatch=now["ETag"], DistributionConfig=config)
        else:
            made = cloudfront.create_distribution(DistributionConfig=config | {"CallerReference": str(uuid.uuid4())})
        made = made["Distribution"]
        return made["Id"], {"DomainName": made["DomainName"]}

    @staticmethod
    def remove(name):
        cloudfront = client("cloudfront")
        cloudfront.delete_distribution(Id=name, IfMatch=cloudfront.get_distribution(Id=name)["ETag"])


POLICIES = {}
"""CloudFront's cache and response-header policies by id, as their API would have taken them."""


def keep_policy(operation, member, properties):
    """Checks a policy by its API's model and keeps it."""
    shape = shape_of("cloudfront", operation)
    config = typed(counted(properties[member], shape.members[member]), shape.members[member])
    report = ParamValidator().validate({member: config}, shape)
    assert not report.has_errors(), f"{operation}: {report.generate_report()}"
    physical_id = next((i for i, p in POLICIES.items() if p["Name"] == config["Name"]), str(uuid.uuid4()))
    POLICIES[physical_id] = config
    return physical_id, {"Id": physical_id}


@resource("AWS::CloudFront::CachePolicy")
class CachePolicy:
    @staticmethod
    def put(name, properties):
        return keep_policy("CreateCachePolicy", "CachePolicyConfig", properties)

    @staticmethod
    def remove(name):
        del POLICIES[name]


@resource("AWS::CloudFront::ResponseHeadersPolicy")
class ResponseHeadersPolicy:
    @staticmethod
    def put(name, properties):
        return keep_policy("CreateResponseHeadersPolicy", "ResponseHeadersPolicyConfig", properties)

    @staticmethod
    def remove(name):
        del POLICIES[name]


def stack_attribute(stack, name):
    """A nested stack's output, which moto's own stacks do not tell their parents."""
    kind, key = name.split(".", 1)
    assert kind == "Outputs", name
    return stack.output_map[key].value


def update_stack_in_place(cls, original_resource, new_resource_name, cloudformation_json, account_id, region_name):
    """moto would delete a nested stack and make it again; AWS updates it, and so do we."""
    properties = cloudformation_json["Properties"]
    template = get_stack_from_s3_url(properties["TemplateURL"], account_id=account_id, partition="aws")
    backend = cloudformation_backends[account_id][region_name]
    parameters = [
        {"ParameterKey": key, "ParameterValue": value} for key, value in properties.get("Parameters", {}).items()
    ]
    return backend.update_stack(original_resource.name, template, None, parameters, None)


def finish_bucket(bucket, properties):
    """What moto's bucket leaves out: access block, lifecycle, notifications."""
    s3, name = client("s3"), bucket.name
    s3.put_public_access_block(
        Bucket=name, PublicAccessBlockConfiguration=properties["PublicAccessBlockConfiguration"]
    )
    rules = []
    for rule in properties["LifecycleConfiguration"]["Rules"]:
        made = {"ID": rule["Id"], "Status": rule["Status"], "Filter": {"Prefix": rule["Prefix"]}}
        if "ExpirationInDays" in rule:
            made["Expiration"] = {"Days": int(rule["ExpirationInDays"])}
        if "Transitions" in rule:
            made["Transitions"] = [
                {"Days": int(t["TransitionInDays"]), "StorageClass": t["StorageClass"]} for t in rule["Transitions"]
            ]
        if "AbortIncompleteMultipartUpload" in rule:
            made["AbortIncompleteMultipartUpload"] = rule["AbortIncompleteMultipartUpload"]
        rules.append(made)
    s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": rules})
    queues = [
        {"QueueArn": q["Queue"], "Events": [q["Event"]]}
        for q in properties.get("NotificationConfiguration", {}).get("QueueConfigurations", [])
    ]
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": queues}
    )


def finish_target_group(group, properties):
    """What moto's target group leaves out."""
    client("elbv2").modify_target_group_attributes(
        TargetGroupArn=group.arn, Attributes=properties["TargetGroupAttributes"]
    )


def finish(kind, step):
    """Runs `step` after moto has made or changed a resource of its own class `kind`."""
    create = kind.create_from_cloudformation_json.__func__
    update = kind.update_from_cloudformation_json.__func__

    def created(cls, name, cloudformation_json, *rest, **more):
        made = create(cls, name, cloudformation_json, *rest, **more)
        step(made, cloudformation_json["Properties"])
        return made

    def updated(cls, original_resource, new_resource_name, cloudformation_json, *rest, **more):
        made = update(cls, original_resource, new_resource_name, cloudformation_json, *rest, **more)
        step(made, cloudformation_json["Properties"])
        return made

    kind.create_from_cloudformation_json = classmethod(created)
    kind.update_from_cloudformation_json = classmethod(updated)


def full_name(arn):
    """What CloudWatch calls a load balancer or target group: the ARN's end."""
    tail = arn.split(":", 5)[5]
    return tail.removeprefix("loadbalancer/")


def teach_moto():
    """Fills the gaps in moto's own types; once per process."""
    get_model_map().update(KINDS)
    Stack.get_cfn_attribute = stack_attribute
    Stack.update_from_cloudformation_json = classmethod(update_stack_in_place)
    finish(FakeBucket, finish_bucket)
    finish(FakeTargetGroup, finish_target_group)
    ElasticAddress.delete = lambda self, account, region: client("ec2").release_address(
        AllocationId=self.allocation_id
    )
    apply = ChangeSet.apply

    def apply_with_outputs(self):
        apply(self)
        self.stack.template, self.stack.parameters = self.template, self.parameters
        self.stack._parse_template()
        self.stack.output_map = self.stack._create_output_map()

    ChangeSet.apply = apply_with_outputs
    look_up = ResourceMap.parse_ssm_parameter

    def look_up_once(self, value, kind):
        # "Use the previous value" hands back what was looked up before.
        return value if value.startswith("ami-") else look_up(self, value, kind)

    ResourceMap.parse_ssm_parameter = look_up_once
    plain = FakeLoadBalancer.get_cfn_attribute

    def load_balancer_attribute(self, name):
        return full_name(self.arn) if name == "LoadBalancerFullName" else plain(self, name)

    FakeLoadBalancer.get_cfn_attribute = load_balancer_attribute
    FakeLoadBalancer.has_cfn_attr = classmethod(lambda cls, attr: True)
    FakeTargetGroup.get_cfn_attribute = lambda self, name: {"TargetGroupFullName": full_name(self.arn)}[name]
    FakeTargetGroup.has_cfn_attr = classmethod(lambda cls, attr: True)


def offer_images():
    """Puts Debian's public image parameters where AWS has them; moto's API keeps that place to itself."""
    image = client("ec2").register_image(Name="debian-12", RootDeviceName="/dev/xvda")["ImageId"]
    client("ssm").put_parameter(Name="/image", Value=image, Type="String")
    known = ssm_backends[ACCOUNT][REGION]._parameters
    for architecture in ("arm64", "amd64"):
        known[f"/aws/service/debian/release/12/latest/{architecture}"] = known["/image"]
    client("ssm").delete_parameter(Name="/image")
