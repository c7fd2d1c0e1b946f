"""Samples of storage, identity, serving and alarms."""

from __future__ import annotations

import json
from typing import Any

from aws_world import Sample

from infra.rehearsal.engine.provider import Values


def document(*statements: Values) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def trust(service: str) -> str:
    return document({"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"})


READ = document({"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::a/*"})
WRITE = document({"Effect": "Allow", "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::a/*"]})
WHERE = {
    "resourceId": "endpoint/shop/variant/AllTraffic",
    "scalableDimension": "sagemaker:variant:DesiredInstanceCount",
    "serviceNamespace": "sagemaker",
}


def setting(name: str, inputs: Values, **more: Any) -> Sample:
    token = f"aws:s3/{name[:1].lower()}{name[1:]}:{name}"
    return Sample(token, lambda world: {"bucket": world.id("bucket"), **inputs}, **more)


def bucket_rule(bucket: str) -> str:
    return document(
        {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{bucket}"]}
    )


STORAGE = {
    "bucket": Sample(
        "aws:s3/bucket:Bucket",
        lambda world: {"bucket": "shop-state", "forceDestroy": True},
        replace={"bucket": "shop-other"},
    ),
    "encryption": setting(
        "BucketServerSideEncryptionConfiguration",
        {
            "rules": [
                {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "AES256"}, "bucketKeyEnabled": False}
            ]
        },
        update=lambda world: {
            "rules": [
                {"applyServerSideEncryptionByDefault": {"sseAlgorithm": "aws:kms"}, "bucketKeyEnabled": True}
            ]
        },
    ),
    "access-block": setting(
        "BucketPublicAccessBlock",
        {
            "blockPublicAcls": True,
            "blockPublicPolicy": True,
            "ignorePublicAcls": True,
            "restrictPublicBuckets": True,
        },
        update=lambda world: {"blockPublicAcls": False},
        edit=lambda world, client, it: client("s3").put_public_access_block(
            Bucket=it,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "BlockPublicPolicy": False,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        ),
        seen="blockPublicPolicy",
    ),
    "versioning": setting(
        "BucketVersioning",
        {"versioningConfiguration": {"status": "Enabled"}},
        update=lambda world: {"versioningConfiguration": {"status": "Suspended"}},
        edit=lambda world, client, it: client("s3").put_bucket_versioning(
            Bucket=it, VersioningConfiguration={"Status": "Suspended"}
        ),
        seen="versioningConfiguration",
    ),
    "bucket-policy": setting(
        "BucketPolicy",
        {"policy": bucket_rule("shop-state")},
        update=lambda world: {"policy": bucket_rule("shop-state/x")},
    ),
    "repository": Sample(
        "aws:ecr/repository:Repository",
        lambda world: {
            "name": "shop/recs",
            "imageTagMutability": "IMMUTABLE",
            "imageScanningConfiguration": {"scanOnPush": True},
            "encryptionConfigurations": [{"encryptionType": "AES256"}],
            "forceDelete": True,
        },
        update=lambda world: {
            "imageTagMutability": "MUTABLE",
            "imageScanningConfiguration": {"scanOnPush": False},
        },
        replace={"encryptionConfigurations": [{"encryptionType": "KMS"}]},
        edit=lambda world, client, it: client("ecr").put_image_tag_mutability(
            repositoryName=it, imageTagMutability="MUTABLE"
        ),
        seen="imageTagMutability",
    ),
    "key": Sample(
        "aws:kms/key:Key",
        lambda world: {"description": "shop", "enableKeyRotation": True, "deletionWindowInDays": 7},
        update=lambda world: {"description": "shop's", "enableKeyRotation": False, "isEnabled": False},
        replace={"keyUsage": "SIGN_VERIFY", "customerMasterKeySpec": "RSA_2048"},
        edit=lambda world, client, it: client("kms").disable_key_rotation(KeyId=it),
        seen="enableKeyRotation",
    ),
    "other-key": Sample("aws:kms/key:Key", lambda world: {"description": "other"}),
    "alias": Sample(
        "aws:kms/alias:Alias",
        lambda world: {"name": "alias/shop", "targetKeyId": world.id("key")},
        replace={"name": "alias/other"},
        edit=lambda world, client, it: client("kms").update_alias(
            AliasName=it, TargetKeyId=world.id("other-key")
        ),
        seen="targetKeyId",
    ),
}


def notice(threshold: float, *emails: str) -> Values:
    return {
        "comparisonOperator": "GREATER_THAN",
        "notificationType": "ACTUAL",
        "threshold": threshold,
        "thresholdType": "PERCENTAGE",
        "subscriberEmailAddresses": list(emails),
    }


BILLING = {
    "budget": Sample(
        "aws:budgets/budget:Budget",
        lambda world: {
            "name": "shop-month",
            "budgetType": "COST",
            "timeUnit": "MONTHLY",
            "limitAmount": "500.0",
            "limitUnit": "USD",
            "notifications": [notice(80, "a@shop.example"), notice(100, "a@shop.example", "b@shop.example")],
        },
        update=lambda world: {
            "limitAmount": "700.0",
            "notifications": [notice(100, "a@shop.example"), notice(120, "b@shop.example")],
        },
        replace={"name": "shop-other"},
        edit=lambda world, client, it: client("budgets").delete_notification(
            AccountId=it.partition(":")[0],
            BudgetName=it.partition(":")[2],
            Notification={
                "ComparisonOperator": "GREATER_THAN",
                "NotificationType": "ACTUAL",
                "Threshold": 80.0,
                "ThresholdType": "PERCENTAGE",
            },
        ),
        seen="notifications",
    ),
}

IDENTITY = {
    "issuer": Sample(
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider",
        lambda world: {
            "url": "https://token.actions.githubusercontent.com",
            "clientIdLists": ["sts.amazonaws.com"],
        },
        update=lambda world: {"clientIdLists": ["sts.amazonaws.com", "other"], "thumbprintLists": ["a" * 40]},
        replace={"url": "https://gitlab.com"},
        edit=lambda world, client, it: client("iam").add_client_id_to_open_id_connect_provider(
            OpenIDConnectProviderArn=it, ClientID="somebody"
        ),
        seen="clientIdLists",
    ),
    "role": Sample(
        "aws:iam/role:Role",
        lambda world: {"assumeRolePolicy": trust("sagemaker.amazonaws.com"), "description": "serves"},
        update=lambda world: {
            "assumeRolePolicy": trust("eks.amazonaws.com"),
            "description": "",
            "maxSessionDuration": 7200,
        },
        replace={"path": "/shop/"},
        edit=lambda world, client, it: client("iam").update_assume_role_policy(
            RoleName=it, PolicyDocument=trust("ec2.amazonaws.com")
        ),
        seen="assumeRolePolicy",
    ),
    "role-policy": Sample(
        "aws:iam/rolePolicy:RolePolicy",
        lambda world: {"role": world.output("role", "name"), "name": "serve", "policy": READ},
        update=lambda world: {"policy": WRITE},
        replace={"name": "other"},
        edit=lambda world, client, it: client("iam").put_role_policy(
            RoleName=it.split(":")[0], PolicyName="serve", PolicyDocument=WRITE
        ),
        seen="policy",
    ),
    "parameter": Sample(
        "aws:ssm/parameter:Parameter",
        lambda world: {"name": "/shop/key", "type": "SecureString", "value": "one"},
        update=lambda world: {"value": "two", "description": "the second"},
        replace={"name": "/shop/other"},
        edit=lambda world, client, it: client("ssm").put_parameter(
            Name=it, Type="SecureString", Value="three", Overwrite=True
        ),
        seen="value",
    ),
    "attachment": Sample(
        "aws:iam/rolePolicyAttachment:RolePolicyAttachment",
        lambda world: {
            "role": world.output("role", "name"),
            "policyArn": "arn:aws:iam::aws:policy/AmazonEKSClusterPolicy",
        },
        replace={"policyArn": "arn:aws:iam::aws:policy/AmazonEKSWorkerNodePolicy"},
    ),
}

SERVING = {
    "model": Sample(
        "aws:sagemaker/model:Model",
        lambda world: {
            "name": "shop-1",
            "executionRoleArn": world.output("role", "arn"),
            "primaryContainer": {"image": world.image("one"), "environment": {"A": "1"}},
        },
        replace={"primaryContainer": {"image": "127.0.0.1:5000/shop@sha256:" + "1" * 64}},
    ),
    "configuration": Sample(
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        lambda world: {
            "name": "shop-1",
            "productionVariants": [
                {
                    "variantName": "AllTraffic",
                    "modelName": world.id("model"),
                    "instanceType": "ml.m5.xlarge",
                    "initialInstanceCount": 1,
                }
            ],
        },
        replace={
            "productionVariants": [
                {"modelName": "shop-1", "instanceType": "ml.m5.large", "initialInstanceCount": 1}
            ]
        },
    ),
    "configuration-options": Sample(
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        lambda world: {
            "name": "shop-options",
            "kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/1",
            "dataCaptureConfig": {
                "enableCapture": True,
                "initialSamplingPercentage": 20,
                "destinationS3Uri": "s3://shop/captured",
                "captureOptions": [{"captureMode": "Input"}, {"captureMode": "Output"}],
                "captureContentTypeHeader": {"jsonContentTypes": ["application/json"]},
            },
            "productionVariants": [
                {
                    "variantName": "AllTraffic",
                    "modelName": world.id("model"),
                    "instanceType": "ml.m5.xlarge",
                    "initialInstanceCount": 1,
                    "containerStartupHealthCheckTimeoutInSeconds": 600,
                    "modelDataDownloadTimeoutInSeconds": 900,
                }
            ],
        },
        replace={"kmsKeyArn": "arn:aws:kms:us-east-1:123456789012:key/2"},
    ),
    "configuration-2": Sample(
        "aws:sagemaker/endpointConfiguration:EndpointConfiguration",
        lambda world: {
            "productionVariants": [
                {
                    "variantName": "AllTraffic",
                    "modelName": world.id("model"),
                    "instanceType": "ml.m5.xlarge",
                    "initialInstanceCount": 1,
                }
            ]
        },
    ),
    "endpoint": Sample(
        "aws:sagemaker/endpoint:Endpoint",
        lambda world: {"name": "shop", "endpointConfigName": world.id("configuration")},
        update=lambda world: {"endpointConfigName": world.id("configuration-2")},
        replace={"name": "other"},
    ),
    "target": Sample(
        "aws:appautoscaling/target:Target",
        lambda world: {
            **WHERE,
            "resourceId": f"endpoint/{world.id('endpoint')}/variant/AllTraffic",
            "minCapacity": 1,
            "maxCapacity": 4,
        },
        update=lambda world: {"maxCapacity": 8},
        replace={"resourceId": "endpoint/other/variant/AllTraffic"},
        edit=lambda world, client, it: client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker",
            ResourceId=it,
            ScalableDimension=WHERE["scalableDimension"],
            MinCapacity=2,
        ),
        seen="minCapacity",
    ),
    "scaling": Sample(
        "aws:appautoscaling/policy:Policy",
        lambda world: {
            **{key: world.output("target", key) for key in WHERE},
            "name": "load",
            "policyType": "TargetTrackingScaling",
            "targetTrackingScalingPolicyConfiguration": {
                "targetValue": 7200,
                "scaleInCooldown": 300,
                "predefinedMetricSpecification": {
                    "predefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
            },
        },
        update=lambda world: {
            "targetTrackingScalingPolicyConfiguration": {
                "targetValue": 600.5,
                "predefinedMetricSpecification": {
                    "predefinedMetricType": "SageMakerVariantInvocationsPerInstance"
                },
            }
        },
        replace={"name": "other"},
    ),
    "scaling-steps": Sample(
        "aws:appautoscaling/policy:Policy",
        lambda world: {
            **{key: world.output("target", key) for key in WHERE},
            "name": "steps",
            "policyType": "StepScaling",
            "stepScalingPolicyConfiguration": {
                "adjustmentType": "ChangeInCapacity",
                "metricAggregationType": "Average",
                "cooldown": 60,
                "stepAdjustments": [
                    {
                        "scalingAdjustment": 2,
                        "metricIntervalLowerBound": "0",
                        "metricIntervalUpperBound": "6000",
                    },
                    {"scalingAdjustment": 5, "metricIntervalLowerBound": "6000"},
                ],
            },
        },
        update=lambda world: {
            "stepScalingPolicyConfiguration": {
                "adjustmentType": "ChangeInCapacity",
                "metricAggregationType": "Average",
                "cooldown": 30,
                "stepAdjustments": [{"scalingAdjustment": 1, "metricIntervalLowerBound": "0.5"}],
            }
        },
        replace={"name": "other"},
    ),
    "action": Sample(
        "aws:appautoscaling/scheduledAction:ScheduledAction",
        lambda world: {
            **{key: world.output("target", key) for key in WHERE},
            "name": "sale",
            "schedule": "at(2026-12-24T00:00:00)",
            "scalableTargetAction": {"minCapacity": 3, "maxCapacity": 9},
            "endTime": "2026-12-25T00:00:00+08:00",
        },
        update=lambda world: {"scalableTargetAction": {"minCapacity": 4, "maxCapacity": 9}},
        replace={"name": "other"},
    ),
    "topic": Sample(
        "aws:sns/topic:Topic",
        lambda world: {"name": "shop-alarms", "displayName": "shop"},
        update=lambda world: {"displayName": "the shop's alarms"},
        replace={"name": "other"},
        edit=lambda world, client, it: client("sns").set_topic_attributes(
            TopicArn=it, AttributeName="DisplayName", AttributeValue="edited"
        ),
        seen="displayName",
    ),
    "alarm": Sample(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        lambda world: {
            "name": "shop-p99",
            "namespace": "AWS/SageMaker",
            "metricName": "ModelLatency",
            "extendedStatistic": "p99",
            "comparisonOperator": "GreaterThanThreshold",
            "threshold": 50000,
            "period": 60,
            "evaluationPeriods": 2,
            "treatMissingData": "notBreaching",
            "dimensions": {"EndpointName": "shop", "VariantName": "AllTraffic"},
        },
        update=lambda world: {"threshold": 0.5, "alarmDescription": "slow"},
        replace={"name": "other"},
        edit=lambda world, client, it: client("cloudwatch").put_metric_alarm(
            AlarmName=it,
            Namespace="AWS/SageMaker",
            MetricName="ModelLatency",
            ExtendedStatistic="p99",
            Period=60,
            ComparisonOperator="GreaterThanThreshold",
            Threshold=1,
            EvaluationPeriods=2,
            TreatMissingData="notBreaching",
            Dimensions=[
                {"Name": "EndpointName", "Value": "shop"},
                {"Name": "VariantName", "Value": "AllTraffic"},
            ],
        ),
        seen="threshold",
    ),
    "alarm of a share": Sample(
        "aws:cloudwatch/metricAlarm:MetricAlarm",
        lambda world: {
            "name": "shop-error-rate",
            "comparisonOperator": "GreaterThanThreshold",
            "threshold": 0.01,
            "evaluationPeriods": 2,
            "treatMissingData": "notBreaching",
            "alarmActions": [world.output("topic", "arn")],
            "metricQueries": share("errors / requests"),
        },
        update=lambda world: {"metricQueries": share("IF(requests > 9, errors / requests, 0)")},
        replace={"name": "other"},
    ),
}


def share(expression: str) -> list[Values]:
    """Two metrics and what is made of them."""
    where = {"EndpointName": "shop", "VariantName": "AllTraffic"}
    sums = {"errors": "Invocation5XXErrors", "requests": "Invocations"}
    return [
        {"id": "share", "expression": expression, "label": "share", "returnData": True},
        *(
            {
                "id": name,
                "returnData": False,
                "metric": {
                    "namespace": "AWS/SageMaker",
                    "metricName": metric,
                    "dimensions": where,
                    "period": 60,
                    "stat": "Sum",
                },
            }
            for name, metric in sums.items()
        ),
    ]


SERVICE = {**STORAGE, **BILLING, **IDENTITY, **SERVING}
