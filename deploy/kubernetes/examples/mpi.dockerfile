# Open MPI and sshd as Debian ships them and the MPI operator wants them, with a program to run: for mpijob.yaml.
#   docker build -t weft-mpi:0.1.0 -f deploy/kubernetes/examples/mpi.dockerfile .
FROM debian:12-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends gcc libc6-dev libopenmpi-dev openmpi-bin libfabric1 \
        openssh-client openssh-server \
    && rm -rf /var/lib/apt/lists/* \
    && mkdir -p /run/sshd \
    # The operator mounts the keys: not for root alone, and hosts are new with each job.
    && sed -i 's/^#*StrictModes .*/StrictModes no/' /etc/ssh/sshd_config \
    && printf 'Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n' >/etc/ssh/ssh_config.d/mpi.conf
COPY tests/e2e/mpi_mix.c /tmp/
RUN mpicc -O2 -o /usr/local/bin/mpi_mix /tmp/mpi_mix.c && rm /tmp/mpi_mix.c
