"""A Docker engine of the test's own, started by hand, with images that need no registry.

Its containers are processes in namespaces that die with this process; its sockets and mounts stand in a temporary folder. Images are kept in
build/docker, so only the first run makes them.
"""

import contextlib
import glob
import os
import shutil
import subprocess
import tempfile
import time

TOOLS = os.path.abspath("build/tools")
STORE = os.path.abspath("build/docker")
HERE = os.path.dirname(os.path.abspath(__file__))
JARS = os.environ.get("SLUICE_KAFKA_JARS", "build/kafka")
LOGS = os.environ.get("SLUICE_TEST_LOGS") or tempfile.mkdtemp(prefix="sluice-test-logs-")
COMMANDS = ["dockerd", "docker", "containerd", "runc", "docker-compose", "debootstrap", "unshare", "setpriv"]
START_S = 60
CGROUP = "sluice-docker"

IMAGES = {
    "DEBIAN_IMAGE": "sluice-test/debian:bookworm",
    "KAFKA_IMAGE": "sluice-test/kafka",
    "POSTGRES_IMAGE": "sluice-test/postgres",
    "SLUICE_IMAGE": "sluice-test/sluice",
}


class NoEngine(Exception):
    """No engine can be started here; says why."""


def run(*command, **options):
    """Its output; what went wrong with it is in the exception."""
    options.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout.strip()


def last_line(path):
    with open(path, errors="replace") as log:
        return (log.read().strip() or "nothing in its log").splitlines()[-1]


class Engine:
    def __init__(self):
        os.environ["PATH"] = f"{TOOLS}/usr/bin:{TOOLS}/usr/sbin:{os.environ['PATH']}:/usr/sbin:/sbin"
        missing = [command for command in COMMANDS if not shutil.which(command)]
        if os.geteuid() != 0:
            raise NoEngine("a Docker engine is started by root only")
        if missing:
            raise NoEngine(f"not installed: {', '.join(missing)}")
        self.folder = tempfile.mkdtemp(prefix="sluice-docker-")
        self.log = os.path.join(LOGS, "dockerd.log")
        os.environ["DOCKER_HOST"] = f"unix://{self.folder}/docker.sock"
        self.process = self._start()
        try:
            self._wait()
        except NoEngine:
            self.stop()
            raise

    def _start(self):
        """Without rules in the machine's firewall; ports are published by docker-proxy."""
        namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        daemon = ["dockerd", "--host", os.environ["DOCKER_HOST"], "--data-root", f"{STORE}/data"]
        daemon += ["--exec-root", f"{self.folder}/run", "--pidfile", f"{self.folder}/pid", "--group", "root"]
        daemon += ["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        daemon += ["--cgroup-parent", f"/{CGROUP}", "--init-path", shutil.which("tini") or "/usr/bin/tini"]
        with open(self.log, "w") as log:
            return subprocess.Popen(["setpriv", "--pdeathsig", "KILL"] + namespaces + daemon, stdin=subprocess.DEVNULL,
                                    stdout=log, stderr=log)

    def _wait(self):
        deadline = time.monotonic() + START_S
        while subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise NoEngine(f"dockerd does not start: {last_line(self.log)}")
            time.sleep(0.1)
        try:
            run("docker", "network", "create", "sluice-test-probe")
            run("docker", "network", "rm", "sluice-test-probe")
        except RuntimeError as error:
            raise NoEngine(f"no network for containers: {last_line_of(error)}") from error

    def stop(self):
        """SIGTERM to dockerd, the first process of its namespace; what is left dies with it."""
        if self.process.poll() is None:
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as children:
                run("kill", "-TERM", *children.read().split())
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_cgroups()


def remove_cgroups():
    for top in glob.glob(f"/sys/fs/cgroup/{CGROUP}") + glob.glob(f"/sys/fs/cgroup/*/{CGROUP}"):
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)


def last_line_of(error):
    return str(error).strip().splitlines()[-1]


def has_image(name):
    return subprocess.run(["docker", "image", "inspect", name], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


def apt_settings():
    """How this machine's apt reaches its mirror."""
    settings = run("apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire").splitlines()
    return "".join(f"{line}\n" for line in settings if line.startswith(("Acquire::http", "Acquire::Check-")))


def mirror():
    """The one that this machine's apt uses; debootstrap's own where none is found."""
    return run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Codename: bookworm", "Created-By: Packages").split()[:1]


def make_debian():
    """What the official bookworm-slim is made of, too."""
    root = tempfile.mkdtemp(prefix="sluice-debian-", dir=STORE)
    try:
        run("debootstrap", "--variant=minbase", "bookworm", root, *mirror())
        run("chroot", root, "apt-get", "clean")
        for path, text in [("etc/apt/apt.conf.d/99machine", apt_settings()),
                           ("etc/dpkg/dpkg.cfg.d/force-unsafe-io", "force-unsafe-io\n"),
                           ("usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")]:
            with open(os.path.join(root, path), "w") as file:
                file.write(text)
        os.chmod(os.path.join(root, "usr/sbin/policy-rc.d"), 0o755)
        run("sh", "-c", 'tar -C "$0" -c . | docker import - "$1"', root, IMAGES["DEBIAN_IMAGE"])
    finally:
        shutil.rmtree(root)


def make_services():
    """Kafka and PostgreSQL, with the names of the environment that the official images read."""
    with tempfile.TemporaryDirectory(dir=STORE) as context:
        shutil.copytree(HERE, context, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
        shutil.copytree(JARS, os.path.join(context, "jars"), copy_function=os.link)
        for target in "kafka", "postgres":
            run("docker", "build", "--network", "host", "--build-arg", f"DEBIAN_IMAGE={IMAGES['DEBIAN_IMAGE']}", "--target",
                target, "-t", IMAGES[f"{target.upper()}_IMAGE"], context)


def make_images():
    """All but the gateway's own."""
    if not has_image(IMAGES["DEBIAN_IMAGE"]):
        make_debian()
    make_services()
