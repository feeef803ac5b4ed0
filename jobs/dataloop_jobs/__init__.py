"""What runs inside SageMaker containers, and on one machine as a process under the same contract.

It sees manifests, never tables: nothing here imports the core package. See `contract.py` for paths and channels.
"""
