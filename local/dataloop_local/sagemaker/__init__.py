"""A SageMaker for one machine: training and processing jobs are real processes, model packages are records.

`service.py` is the API, `jobs.py` the life of a job, `training.py` and `processing.py` lay the container's folders,
`process.py` runs the command. Requests are checked against AWS's own service model (`shapes.py`).
"""
