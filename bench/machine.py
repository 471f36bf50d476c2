"""What the benchmark needs of the machine: control groups, ports, processes, the shim that slows syncs down."""
import os, shutil, signal, socket, subprocess, time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "posthouse")


class Group:
    """A control group, so that the CPU of every process of a relay is counted, also of those that have ended."""

    def __init__(self, name):
        if os.path.isdir("/sys/fs/cgroup/cpuacct"):
            self.dirs = [f"/sys/fs/cgroup/{c}/posthouse_bench_{name}" for c in ("cpuacct", "memory")]
            self.v2 = False
        else:
            self.dirs = [f"/sys/fs/cgroup/posthouse_bench_{name}"]
            self.v2 = True
        for directory in self.dirs:
            os.makedirs(directory, exist_ok=True)

    def enter(self):
        for directory in self.dirs:
            with open(directory + "/cgroup.procs", "w") as procs:
                procs.write(str(os.getpid()))

    def cpu(self):
        """Seconds of CPU, user and system."""
        if not self.v2:
            return int(open(self.dirs[0] + "/cpuacct.usage").read()) / 1e9
        for line in open(self.dirs[0] + "/cpu.stat"):
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
        return 0.0

    def processes(self):
        return [int(p) for p in open(self.dirs[0] + "/cgroup.procs").read().split()]

    def resident(self):
        """Octets resident and private to the processes, summed."""
        return sum(resident(p) for p in self.processes())

    def kill(self):
        for _ in range(100):
            processes = self.processes()
            if not processes:
                return
            for process in processes:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)


def resident(process):
    """VmRSS of a process in octets."""
    try:
        for line in open(f"/proc/{process}/status"):
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    return 0


def start(group, command, environment=None, log=None):
    out = open(log or os.devnull, "ab")
    return subprocess.Popen(command, preexec_fn=group.enter, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                            env={**os.environ, **(environment or {})}, start_new_session=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.005)
    raise SystemExit(f"nothing listens on port {port}")


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    os.chmod(path, 0o755)
    return path


SHIM = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
static void nap(void) {
    static long ms = -1;
    if (ms < 0) { char *e = getenv("SYNC_MS"); ms = e ? atol(e) : 0; }
    struct timespec t = { ms / 1000, (ms % 1000) * 1000000L };
    if (ms) nanosleep(&t, 0);
}
int fsync(int fd) { nap(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { nap(); return syscall(SYS_fdatasync, fd); }
int sync_file_range(int fd, long long o, long long n, unsigned f) { nap(); return syscall(SYS_sync_file_range, fd, o, n, f); }
"""


def slow_sync(work, milliseconds):
    """Environment that makes every sync of a process slower."""
    source, library = f"{work}/slow_sync.c", f"{work}/slow_sync.so"
    if not os.path.exists(library):
        with open(source, "w") as file:
            file.write(SHIM)
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return {"LD_PRELOAD": library, "SYNC_MS": str(milliseconds)}
