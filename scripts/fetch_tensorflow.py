"""The work behind fetch-tensorflow: DIR PLATFORM STAMP.

Downloads the wheels that wheels.lock pins for PLATFORM with the user's own pip,
checks them, unpacks the few files a C program needs into a temporary folder and
renames that to DIR. It may be killed at any moment: DIR is never half-written,
and the next run clears away what was left. Needs Python 3.9 and nothing else.
"""

import contextlib
import ctypes
import errno
import fcntl
import fnmatch
import hashlib
import importlib.util
import os
import pathlib
import platform as host
import posixpath
import re
import shutil
import signal
import subprocess
import sys
import zipfile

REPO = pathlib.Path(__file__).resolve().parent.parent
MB = 1_000_000

# What is taken from a wheel and the folder it goes to (a pattern's folder part is cut
# off where the target ends in "/"). TensorFlow looks for NVIDIA's libraries, ptxas and
# libdevice in ../nvidia as seen from its own library: the wheels' layout is kept.
WANTED = [
    ("tensorflow/libtensorflow_cc.*", "lib/"),
    ("tensorflow/libtensorflow_framework.*", "lib/"),
    ("nvidia/*/lib/*.so*", ""),
    ("nvidia/cuda_nvcc/bin/*", ""),
    ("nvidia/cuda_nvcc/nvvm/*", ""),
    ("tensorflow/THIRD_PARTY_NOTICES.txt", "licenses"),
    ("tensorflow/include/LICENSE", "licenses"),
    ("nvidia_*.dist-info/*[Ll][Ii][Cc][Ee][Nn][Ss][Ee]*", "licenses"),
]
# Of the wheel's 287 MB of headers only those that these two lead to are needed.
HEADERS = ["tensorflow/c/c_api.h", "tensorflow/c/c_api_experimental.h"]
INCLUDE = "tensorflow/include/"


class Failure(Exception):
    """What went wrong and how to mend it, in one sentence."""


class Wheel:
    """One line of wheels.lock."""

    def __init__(self, line):
        self.platform, self.sha256, download, unpacked, self.file = line.split()
        self.download, self.unpacked = int(download) * MB, int(unpacked) * MB
        self.name, self.version, self.python, self.abi, tags = self.file[: -len(".whl")].split("-")
        self.tag = tags.split(".")[0]


def read_lock(platform):
    with open(REPO / "scripts" / "wheels.lock", encoding="utf-8") as f:
        wheels = [Wheel(line) for line in f if line.startswith(platform + " ")]
    version = pinned_version()
    if wheels[0].version != version:
        raise Failure(
            f"scripts/wheels.lock pins TensorFlow {wheels[0].version} for {platform} "
            f"but TENSORFLOW_VERSION says {version}: bring the two together"
        )
    return wheels


def pinned_version():
    return (REPO / "TENSORFLOW_VERSION").read_text(encoding="utf-8").strip()


def check_host(platform, wheels):
    """Refuses early what would fail later with a riddle."""
    if platform.startswith("linux/"):
        libc, version = host.libc_ver()
        if libc != "glibc":
            raise Failure("TensorFlow's wheels need glibc, which this system lacks; set TENSORFLOW_ROOT to a libtensorflow built for it")
        need = re.match(r"manylinux_(\d+)_(\d+)", wheels[0].tag)
        if need and tuple(map(int, version.split(".")[:2])) < tuple(map(int, need.groups())):
            raise Failure(f"TensorFlow's wheel needs glibc {need[1]}.{need[2]} and this system has {version}; set TENSORFLOW_ROOT to a libtensorflow built for it")


def check_space(wheels):
    need = sum(w.unpacked for w in wheels) + max(w.download for w in wheels)
    free = shutil.disk_usage(REPO).free
    if free < need:
        raise Failure(f"{REPO} has {free // MB:,} MB free and {need // MB:,} MB are needed: free some space and run it again")


def pip_command():
    if importlib.util.find_spec("pip"):
        return [sys.executable, "-m", "pip"]
    for name in ("pip3", "pip"):
        if shutil.which(name):
            return [name]
    raise Failure(
        f"{sys.executable} has no pip: install it (Debian, Ubuntu: apt install python3-pip; elsewhere: {os.path.basename(sys.executable)} -m ensurepip --user), "
        "set PYTHON to a Python that has it, or set TENSORFLOW_ROOT"
    )


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def get_wheel(wheel, pip, tmp):
    """The path of the checked wheel, and whether it is ours to delete."""
    store = os.environ.get("GALAXY_WHEELS")
    if store and (kept := pathlib.Path(store) / wheel.file).exists():
        check_wheel(wheel, kept)
        return kept, False
    download(wheel, pip, tmp)
    got = tmp / "wheels" / wheel.file
    if not got.exists():
        found = ", ".join(sorted(p.name for p in (tmp / "wheels").iterdir())) or "nothing"
        raise Failure(f"pip was asked for {wheel.file} and gave {found}: your package index serves other files than the pinned ones")
    check_wheel(wheel, got)
    if store:
        partial = pathlib.Path(store) / f"{wheel.file}.{os.getpid()}.tmp"
        partial.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(got, partial)
        partial.replace(kept)
    return got, True


def check_wheel(wheel, path):
    found = sha256(path)
    if found != wheel.sha256:
        raise Failure(f"{path} has sha256 {found}, expected {wheel.sha256}: the file is damaged or not the pinned one; delete it (`pip cache purge` if pip keeps serving it) and run it again")


def download(wheel, pip, tmp):
    say(f"downloading {wheel.file} ({wheel.download // MB} MB)")
    scratch = tmp / "pip"  # so that nothing of pip's is left in the system's temporary folder
    scratch.mkdir(exist_ok=True)
    version = wheel.python[2:] if wheel.abi != "none" else "311"  # a "py3-none" wheel fits any
    command = [
        *pip, "download", "--no-deps", "--only-binary=:all:", "--disable-pip-version-check",
        "--platform", wheel.tag, "--python-version", version, "--implementation", "cp", "--abi", wheel.abi,
        "--dest", str(tmp / "wheels"), f"{wheel.name}=={wheel.version}",
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(scratch), "PIP_REQUIRE_VIRTUALENV": "0"}
    # pip's progress and its warnings go to our stderr; the rest of what it says there,
    # errors and tracebacks, is kept back for the one sentence at the end.
    said = []
    try:
        process = subprocess.Popen(command, stdout=sys.stderr, stderr=subprocess.PIPE, text=True, errors="replace", env=environment)
    except OSError as e:
        raise Failure(f"cannot run {pip[0]}: {e.strerror}") from e
    try:
        for line in process.stderr:
            if line.startswith("WARNING:"):
                sys.stderr.write(line)
            elif line.strip():
                said.append(line.strip())
        status = process.wait()
    finally:
        process.kill()  # does nothing to a process that has ended
    if status != 0:
        reason = said[-1].replace("ERROR: ", "") if said else f"exit status {status}"
        if os.strerror(errno.ENOSPC) in reason:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp))
        raise Failure(f"pip could not download {wheel.file} ({reason}): check the network and `{' '.join(pip)} config list`, then run it again")


def unpack(path, dest):
    with zipfile.ZipFile(path) as z:
        for info in z.infolist():
            if info.is_dir():
                continue
            for pattern, target in WANTED:
                if fnmatch.fnmatchcase(info.filename, pattern):
                    name = info.filename
                    if target.endswith("/"):
                        name = posixpath.basename(name)
                    name = posixpath.join(target, name)
                    extract(z, info, dest / name)
                    break
        names = set(z.namelist())
        if INCLUDE + HEADERS[0] in names:
            for name in header_closure(z, names):
                extract(z, z.getinfo(INCLUDE + name), dest / "include" / name)


def header_closure(z, names):
    """HEADERS and every header of the wheel that they include, directly or not."""
    found, todo = set(), list(HEADERS)
    while todo:
        name = todo.pop()
        if name in found or INCLUDE + name not in names:  # the second: a system header
            continue
        found.add(name)
        text = z.read(INCLUDE + name).decode("utf-8", "replace")
        todo += re.findall(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', text, re.M)
    return sorted(found)


def extract(z, info, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with z.open(info) as src, open(path, "wb") as dst:
        shutil.copyfileobj(src, dst, 1 << 20)
        sync(dst)
    path.chmod(0o755 if (info.external_attr >> 16) & 0o100 else 0o644)


def sync(f):
    f.flush()
    os.fsync(f.fileno())


def write_link_names(lib):
    """Makes what -ltensorflow asks for: both libraries under one name."""
    if (lib / "libtensorflow_cc.2.dylib").exists():
        # macOS' linker has no scripts; the Makefile names the second library there.
        (lib / "libtensorflow.dylib").symlink_to("libtensorflow_cc.2.dylib")
        (lib / "libtensorflow_framework.dylib").symlink_to("libtensorflow_framework.2.dylib")
        return
    with open(lib / "libtensorflow.so", "w", encoding="utf-8") as f:
        f.write("INPUT(libtensorflow_cc.so.2 libtensorflow_framework.so.2)\n")
        sync(f)


def fetch(platform, tmp):
    wheels = read_lock(platform)
    check_host(platform, wheels)
    check_space(wheels)
    pip = pip_command()
    (tmp / "wheels").mkdir()
    for wheel in wheels:
        path, ours = get_wheel(wheel, pip, tmp)
        say(f"unpacking {wheel.file}")
        try:
            unpack(path, tmp / "new")
        except (zipfile.BadZipFile, EOFError) as e:
            raise Failure(f"{path} is not a whole wheel ({e}): delete it and run it again") from e
        if ours:
            path.unlink()
    missing = [n for n in ("lib", "include/" + HEADERS[0]) if not (tmp / "new" / n).exists()]
    if missing:
        raise Failure(f"{wheels[0].file} holds no {' and no '.join(missing)}: its layout is not the one this script knows")
    write_link_names(tmp / "new" / "lib")


def adopt(root, tmp):
    """Points DIR at an installation of the user's, after a look at it."""
    root = pathlib.Path(root)
    libraries = sorted((root / "lib").glob("libtensorflow*"))
    if not libraries or not (root / "include" / HEADERS[0]).exists():
        raise Failure(f"TENSORFLOW_ROOT={root} lacks lib/libtensorflow* or include/{HEADERS[0]}: unpack a libtensorflow there, or unset it")
    version = library_version(libraries)
    if version != pinned_version():
        raise Failure(f"TENSORFLOW_ROOT={root} holds TensorFlow {version}, and galaxy is built for {pinned_version()}: use that version, or unset TENSORFLOW_ROOT")
    lib = tmp / "new" / "lib"
    lib.mkdir(parents=True)
    (tmp / "new" / "include").symlink_to(root / "include")
    for path in libraries:
        (lib / path.name).symlink_to(path)
    if not any((lib / name).exists() for name in ("libtensorflow.so", "libtensorflow.dylib")):
        write_link_names(lib)


def library_version(libraries):
    """Asks the library itself; a linker script among the candidates does not load."""
    reason = ""
    for path in libraries:
        try:
            ask = ctypes.CDLL(str(path)).TF_Version
        except (OSError, AttributeError) as e:
            reason = str(e)
            continue
        ask.restype = ctypes.c_char_p
        return ask().decode()
    raise Failure(f"no library in {libraries[0].parent} could be loaded and asked for its version ({reason})")


@contextlib.contextmanager
def lock(path):
    """One fetch at a time. The kernel frees the lock however its holder ends."""
    with open(path, "w") as f:
        try:
            fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another fetch is at work; waiting for it")
            fcntl.flock(f, fcntl.LOCK_EX)
        yield


def read_stamp(directory):
    try:
        return (directory / "STAMP").read_text(encoding="utf-8")
    except OSError:
        return ""


def complete(directory, stamp):
    links = [directory / "lib" / ("libtensorflow." + s) for s in ("so", "dylib")]
    return read_stamp(directory) == stamp + "\n" and any(p.exists() for p in links) and (directory / "include" / HEADERS[0]).exists()


def install(directory, platform, stamp):
    # A killed run leaves these; whoever holds the lock may clear them away.
    for stale in directory.parent.glob(directory.name + ".tmp.*"):
        shutil.rmtree(stale, ignore_errors=True)
    tmp = directory.with_name(f"{directory.name}.tmp.{os.getpid()}")
    tmp.mkdir()
    try:
        if stamp.startswith("root "):
            adopt(stamp[len("root ") :], tmp)
        else:
            fetch(platform, tmp)
        with open(tmp / "new" / "STAMP", "w", encoding="utf-8") as f:
            f.write(stamp + "\n")
            sync(f)
        if directory.exists():
            directory.rename(tmp / "old")
        (tmp / "new").rename(directory)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    say(f"{directory.name} is ready (TensorFlow {pinned_version()})")


def say(text):
    print(f"fetch-tensorflow: {text}", file=sys.stderr, flush=True)


def interrupted(_signal, _frame):
    raise KeyboardInterrupt


def main():
    directory, platform, stamp = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with lock(directory.with_name(directory.name + ".lock")):
            if not complete(directory, stamp):
                install(directory, platform, stamp)
    except Failure as e:
        say(e)
        return 1
    except KeyboardInterrupt:
        say("interrupted; run it again")
        return 130
    except OSError as e:
        mend = "free some space and run it again" if e.errno == errno.ENOSPC else "mend that and run it again"
        say(f"{e.filename or directory}: {e.strerror or e}: {mend}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
