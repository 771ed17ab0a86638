FROM nvcr.io/nvidia/pytorch:24.12-py3
# All of EFA is in there already, they say.
