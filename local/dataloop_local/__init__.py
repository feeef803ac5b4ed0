"""The whole application on one machine: ministack in this process, plus what it lacks.

Map of the package:

* `server.py` starts everything in order; `asgi.py` is the one HTTP application (AWS port and root gateway);
* `gaps/` has one file per gap of the emulator: what stock lacks, what we do, which test notices an upgrade;
* `durability/` makes an acknowledged write survive `kill -9` (write-ahead log, snapshots, recovery);
* `sagemaker/` is the local SageMaker: jobs are real processes under the container contract;
* `deployment/` packages and deploys `template.yaml` and the job code;
* `metering/` counts what the application would pay AWS for;
* `control.py` is what the command line calls: up, down, status, reset.

Nothing that is deployed to AWS imports this package.
"""
