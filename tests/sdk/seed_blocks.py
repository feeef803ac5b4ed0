"""The code blocks of the SDK's document (seed 000), word for word, in their order.

Only the tests replace anything in them: the url, local paths and made-up ids.
"""

# The blocks are quoted, not written by us: their line lengths and trailing spaces stay.
# ruff: noqa: E501, W291

INIT = """from ankerautotrainsdk import AnkerAutoTrainSDK

# 这里url可以不传，默认是国外正式环境url=https://dataloop.anker-in.com
# 如果想使用国外测试环境url=https://dataloop-qa.anker-in.com
# 如果想使用国内环境url=http://172.16.19.68:8000
# 注意数据合规问题，选择恰当的环境url
client = AnkerAutoTrainSDK(url="https://dataloop.anker-in.com") 
"""

UPLOAD = """client.upload_image("test.jpeg", "test")
"""

RAW_DATA = """## 上传文件
upload_response = client.upload_image("test.jpeg", "test")

## 上传文件对应的信息
resolution = {"width": 1920, "height": 1080}
sourceType = "trigger"
localEventTime = "20241024"
storage = {"storageId": upload_response.storage_id, "bucket": upload_response.bucket, "objectName": upload_response.object_name}
raw_data = {
    "uid": upload_response.uid,
    "fileMeta": {"resolution": resolution},
    "type": "image",
    "region": "CN",
    "securityLevel": "low",
    "storage": storage,
    "bg": "ap",
    "owner": "ivan.liu",
    "extra": {"localEventTime": localEventTime},
    "sourceInfo":{"type": sourceType}
}
client.upload_raw_data(raw_data)
"""

ANNOTATION = """## 上传文件
upload_response = client.upload_image("test.jpeg", "test")

## 上传文件对应的标注
model_name = 'test_model'
labelInfo = [{"bbox_xyxy": [4307,1834,4462,1952],"label": "poop","score": 1,"labelType": 0}]
annotation_data = {
    "annotationType": "object",
    "bg": "ap",
    "owner": "name",
    "dataId": ["b20911d85ce768742def204b032a95c7"],
    "labelInfo": labelInfo,
    "labelMethod": "auto",
    "labelScope": ["wire"],
    "modelName": model_name,
    "modelVersion": "0.1"
}
annotation_response = client.upload_annotated_data(annotation_data)

## 返回标注的ID
annotation_response.annotation_data_id
"""

DATASET = """## 创建数据集
create_dataset_info = {
    "annotationBy": [],
    "annotationType": "detection",
    "bg": "ap",
    "datasetName": "test dataset",
    "datasetVersion": "v2",
    "modelType": "teacher",
    "owner": "name",
    "remark": "This is a test dataset",
    "versionType": "train"
}
create_datast_response = client.create_dataset(create_dataset_info)

## 返回数据集的ID
create_datast_response.dataset_id
"""

LINK = """## 创建数据集
id_list = ["66f519f20c11b8a33cd2aa7b", "66f519f20c11b8a33cd2aa7b"]

link_response = client.link_dataset(annotation_id_list=id_list, dataset_version_id=create_datast_response.dataset_id)
"""

DOWNLOAD_BY_STORAGE = """client.download_image("2vcrqyykgmaql", "data-sync-storage", "2024-10-24/cables_pack.jpg", "/home/save")
"""

DOWNLOAD_BY_UID = """client.download_image("b20911d85ce768742def204b032a95c7", "/home/save")
"""

DOWNLOAD_DATASET = """download_dataset_response = client.download_dataset(dataset_name="test dataset", dataset_version="v2", directory="/home/ivan")
"""

BLOCKS = (
    INIT,
    UPLOAD,
    RAW_DATA,
    ANNOTATION,
    DATASET,
    LINK,
    DOWNLOAD_BY_STORAGE,
    DOWNLOAD_BY_UID,
    DOWNLOAD_DATASET,
)
