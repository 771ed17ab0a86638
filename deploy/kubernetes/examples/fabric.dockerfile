# libfabric's programs as Debian ships them, for pingpong.yaml. Nothing of weft: the plugin brings that into the pod.
#   docker build -t weft-fabric:0.1.0 -f deploy/kubernetes/examples/fabric.dockerfile .
FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends libfabric-bin \
    && rm -rf /var/lib/apt/lists/*
