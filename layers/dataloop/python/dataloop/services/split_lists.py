"""Explicit lists of a split: they can be long, so they lie in S3 and a policy carries their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from dataloop.domain.splits import SplitPolicy, make_split_lists, make_split_policy
from dataloop.gateways.objects import Bucket
from dataloop.manifests.assignment import listing


def read_policy(artifacts: Bucket, tenant: str, value: object, salt: str) -> SplitPolicy:
    """A client's split object; its lists are durable when this returns. Raises InvalidInput, LimitExceeded.

    Cost: one S3 put if there are lists. The same lists again are the same object.
    """
    policy, lists = make_split_policy(value, salt), make_split_lists(value)
    if not lists:
        return policy
    body = listing(lists)
    digest = hashlib.sha256(body).hexdigest()
    artifacts.put(f"{tenant}/splits/{digest}.txt", body, "text/plain")
    return replace(policy, lists=digest)


def without_lists(value: object) -> object:
    """The split object as far as it is small."""
    return {name: entry for name, entry in value.items() if name != "lists"} if isinstance(value, Mapping) else value
