# SPDX-License-Identifier: BSD-2-Clause
"""Images without a registry: files of this machine with the libraries they load, as an archive that containerd takes."""
import glob
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import tarfile


def libraries(program, root=""):
    """All that the dynamic linker would load, and the linker. `root`: where packages lie that are not installed."""
    env = {**os.environ, "LD_LIBRARY_PATH": ":".join(glob.glob(f"{root}/usr/lib/*-linux-gnu"))} if root else None
    done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False, env=env)
    return re.findall(r"(/\S+) \(0x", done.stdout)


def place(program):
    return program if program.startswith("/") else shutil.which(program)


def add(tar, path, source=None, seen=None):
    """A file under its own name, below folders that are real there: /lib is a link to usr/lib in Debian."""
    name = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)).lstrip("/")
    if seen is not None and name in seen:
        return
    if seen is not None:
        seen.add(name)
    info = tar.gettarinfo(os.path.realpath(source or path), name)
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    with open(os.path.realpath(source or path), "rb") as file:
        tar.addfile(info, file)


def links(tar):
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{name}"):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(f"/{name}")
            tar.addfile(info)


def text(tar, name, content):
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content.encode()))


def layer_of_programs(programs):
    """Unmodified programs of this machine and their libraries."""
    data = io.BytesIO()
    seen = set()
    with tarfile.open(fileobj=data, mode="w") as tar:
        links(tar)
        for folder in ("tmp", "run", "var/tmp"):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o1777
            tar.addfile(info)
        text(tar, "etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        text(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n")
        for program in map(place, programs):
            add(tar, program, seen=seen)
            for library in libraries(program):
                add(tar, library, seen=seen)
    return data.getvalue()


def layer_of_mpi(program, root, key):
    """Open MPI, ssh and sshd of Debian with a program for them: what examples/mpi.dockerfile makes of Debian's packages."""
    data = io.BytesIO()
    seen = set()
    folders = glob.glob("/usr/lib/*/openmpi") + glob.glob("/usr/lib/*/pmix*") + ["/usr/share/openmpi", "/etc/openmpi"]
    files = [path for folder in folders for path in glob.glob(f"{folder}/**", recursive=True) if os.path.isfile(path)]
    with tarfile.open(fileobj=data, mode="w") as tar:
        links(tar)
        for name, mode in (("tmp", 0o1777), ("run/sshd", 0o755), ("root", 0o700)):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, mode
            tar.addfile(info)
        text(tar, "etc/passwd", "root:x:0:0::/root:/bin/sh\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n")
        text(tar, "etc/group", "root:x:0:\nnogroup:x:65534:\n")
        text(tar, "etc/ssh/sshd_config", "StrictModes no\nUsePAM no\nPidFile none\n")
        text(tar, "etc/ssh/ssh_config", "Host *\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n")
        add(tar, "/etc/ssh/ssh_host_ed25519_key", key)
        add(tar, "/usr/sbin/sshd", f"{root}/usr/sbin/sshd")
        add(tar, "/usr/local/bin/mpi_mix", program)
        programs = list(map(place, ["sh", "env", "grep", "tr", "sleep", "cat", "ls", "mpirun", "orted", "ssh"]))
        for path in [*programs, *files]:
            add(tar, path, seen=seen)
        for path in [*programs, *files, program, f"{root}/usr/sbin/sshd"]:
            for library in libraries(path, root):
                add(tar, library.removeprefix(root), library, seen=seen)
    return data.getvalue()


def layer_of_folder(folder):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for entry in sorted(glob.glob(f"{folder}/*")):
            tar.add(entry, os.path.relpath(entry, folder), filter=owned_by_root)
    return data.getvalue()


def owned_by_root(info):
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def archive(path, name, layer, **config):
    """Of one layer, in the form of `docker save`."""
    digest = hashlib.sha256(layer).hexdigest()
    about = json.dumps({"architecture": "amd64" if os.uname().machine == "x86_64" else "arm64", "os": "linux",
                        "config": config, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]}})
    manifest = json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}])
    with tarfile.open(path, "w") as tar:
        for member, content in (("config.json", about.encode()), ("manifest.json", manifest.encode()),
                                ("layer.tar", layer)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
