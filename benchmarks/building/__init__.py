"""What a build of a large dataset costs, against datumaro converting the same COCO file: `make bench-build`."""
