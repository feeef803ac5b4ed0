"""What a program on otcextensions does: run in a process of its own, prints one JSON object.

Arguments: the service's address, a token, a project id, a prefix of dataset names.
"""

import json
import sys

import openstack
from keystoneauth1 import session, token_endpoint
from openstack import resource
from otcextensions.sdk.modelartsv2.v2 import _proxy, dataset, dataset_label, dataset_version

# otcextensions 0.34.8 asks isinstance(…, resource.Body) and resource.URI of its parameters: functions since openstacksdk 4.5.
resource.Body = type(vars(dataset.Dataset)["dataset_type"])
resource.URI = type(vars(dataset_version.DatasetVersion)["dataset_id"])


def main(url, token, project, prefix):
    endpoint = f"{url}/v2/{project}"
    signed_in = session.Session(auth=token_endpoint.Token(endpoint, token))
    arts = _proxy.Proxy(signed_in, endpoint_override=endpoint, service_type="modelartsv2")
    arts._connection = openstack.connection.Connection(session=signed_in)
    found = {}
    made = arts.create_dataset(dataset_name=f"{prefix}-otc", dataset_type=1, labels=[{"name": "cat", "type": 1}])
    found["created"] = made.dataset_id
    query = {"search_content": prefix, "sort_by": "dataset_name", "order": "asc", "with_labels": True}
    found["page"] = [each.dataset_name for each in arts.datasets(limit=2, offset=1, **query)]
    listed = list(arts.datasets(file_preview=True, **query))
    found["names"] = [each.dataset_name for each in listed]
    found["types"] = [each.dataset_type for each in listed]
    found["labels"] = sorted({label.name for each in listed for label in each.labels})
    found["filtered"] = [each.name for each in arts.datasets(dataset_type=0, search_content=prefix)]
    found["by_name"] = arts.find_dataset(f"{prefix}-otc").dataset_id
    arts.update_dataset(made, description="changed")
    found["description"] = arts.get_dataset(made.dataset_id).description
    with_versions = next(each for each in listed if each.current_version_id)
    versions = list(dataset_version.DatasetVersion.list(arts, dataset_id=with_versions.dataset_id))
    found["versions"] = [[version.version_name, version.status, version.total_sample_count] for version in versions]
    found["stats"] = [[stats.name, stats.sample_count] for stats in versions[0].label_stats]
    labels = dataset_label.DatasetLabel.list(arts, dataset_id=made.dataset_id)
    found["label_list"] = [label.name for label in labels]
    try:
        arts.dataset_versions(made.dataset_id).__next__()
    except Exception as error:
        found["own_proxy"] = type(error).__name__
    try:
        arts.get_dataset("01a20320-a200-7000-8000-00000000ffff")
    except openstack.exceptions.NotFoundException as error:
        found["missing"] = error.status_code
    arts.delete_dataset(made.dataset_id)
    found["left"] = [each.name for each in arts.datasets(search_content=f"{prefix}-otc")]
    sys.stdout.write(json.dumps(found))


main(*sys.argv[1:])
