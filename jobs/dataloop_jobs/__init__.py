"""What runs inside SageMaker containers, and on one machine as a process under the same contract.

It sees manifests, never tables: of the core it imports what jobs/carried.txt names. See `contract.py` for paths and channels.
"""
