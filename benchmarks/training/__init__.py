"""What training, selection and compression reach on a CPU, each beside its rival in the same run: `make bench-train`."""
