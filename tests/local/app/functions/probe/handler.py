"""Does what the test asks for: answers HTTP, fails, waits, writes; one function for many gaps."""

import json
import os
import sys
import time

import boto3
import shared_layer
from botocore.config import Config

_s3 = boto3.client("s3", config=Config(signature_version="s3v4"))
_table = boto3.resource("dynamodb").Table(os.environ["PROBE_TABLE"])


class NotReady(Exception):
    """Raised by name, so that a state machine can catch it."""


def handler(event, context):
    if "requestContext" in event:
        return _http(event)
    return _OPERATIONS[event["op"]](event, context)


def _http(event):
    path = event["rawPath"]
    if path == "/health":
        return {"statusCode": 200, "body": json.dumps({"status": "ok"})}
    if path == "/api/v1/put":
        _table.put_item(Item={"pk": "http", "sk": event["queryStringParameters"]["id"], "n": 1})
        return {"statusCode": 200, "body": "{}"}
    if path == "/api/v1/presign":
        url = _s3.generate_presigned_url("get_object", Params=json.loads(event["body"]), ExpiresIn=300)
        return {"statusCode": 200, "body": json.dumps({"url": url})}
    if path == "/api/v1/moved":
        return {"statusCode": 302, "headers": {"Location": "/health"}, "body": None}
    keep = ("rawPath", "rawQueryString", "headers", "body", "isBase64Encoded", "cookies")
    return {
        "statusCode": 201,
        "headers": {"X-Probe": "yes", "content-type": "application/json"},
        "cookies": ["a=1; Path=/", "b=2; Path=/"],
        "body": json.dumps({"method": event["requestContext"]["http"]["method"], **{k: event.get(k) for k in keep}}),
    }


def _raise(event, context):
    raise NotReady(event.get("message", "not ready"))


def _wait(event, context):
    started = time.time()
    time.sleep(event["seconds"])
    return {"pid": os.getpid(), "started": started, "ended": time.time()}


_OPERATIONS = {
    "echo": lambda event, context: event,
    "raise": _raise,
    "wait": _wait,
    "exit": lambda event, context: os._exit(3),
    "environment": lambda event, context: dict(os.environ),
    "layer": lambda event, context: {"name": shared_layer.NAME, "file": shared_layer.__file__, "pid": os.getpid()},
    "put": lambda event, context: _table.put_item(Item=event["item"]) and {},
    "print": lambda event, context: sys.stdout.write(event["text"] + "\n"),
}
