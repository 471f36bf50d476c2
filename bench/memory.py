"""Memory: idle, with idle TLS sessions, with one very large message, with a million messages queued."""
import json, os, resource, signal, smtplib, socket, ssl, subprocess, textwrap, threading, time

from machine import BINARY, Group, fresh, free_port, resident, start, wait_for

MEGABYTE = 1_000_000


def configuration(directory, port, sink, connections=20):
    with open(f"{directory}/posthouse.toml", "w") as file:
        file.write(textwrap.dedent(f"""\
            hostname = "relay.contoso.test"
            data_dir = "data"

            [[listener]]
            address = "127.0.0.1:{port}"

            [[client]]
            name = "load"
            networks = ["127.0.0.0/8"]
            senders = ["*@contoso.test"]

            [[tenant]]
            name = "contoso"
            id = "contoso.test"
            domains = ["contoso.test"]

            [[tenant.path]]
            name = "sink"
            kind = "smarthost"
            address = "127.0.0.1:{sink}"
            tls = "none"
            connections = {connections}

            [limits]
            message_size = "150 MiB"
            messages = 1000000
            connections_per_address = 2000

            [log]
            level = "warn"
            """))
    return [BINARY, "serve", "--config", f"{directory}/posthouse.toml"]


class Watch(threading.Thread):
    """Highest resident size while something runs."""

    def __init__(self, process):
        super().__init__(daemon=True)
        self.process, self.peak, self.over = process, 0, threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.02):
            self.peak = max(self.peak, resident(self.process))

    def stop(self):
        self.over.set()
        self.join()
        return self.peak


def sessions(work, arguments):
    """Aims: idle under 20 MB; 1,000 idle TLS sessions under 64 MB more; a 150 MB message under 16 MB more."""
    group, directory = Group("memory"), fresh(f"{work}/memory")
    port, sink_port = free_port(), free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{sink_port}", "100"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(sink_port)
    relay = start(group, configuration(directory, port, sink_port), None, f"{directory}/log")
    wait_for(port)
    time.sleep(2)
    idle = resident(relay.pid)
    print(f"   idle                              {idle / MEGABYTE:8.1f} MB")

    watch = Watch(relay.pid)
    line = b"z" * 76 + b"\r\n"
    body = b"From: app@contoso.test\r\nSubject: large\r\n\r\n" + line * (150 * MEGABYTE // len(line))
    with smtplib.SMTP("127.0.0.1", port, timeout=600) as client:
        client.ehlo("app.contoso.test")
        client.sendmail("app@contoso.test", ["user@example.test"], body)
    deadline = time.time() + 60
    while time.time() < deadline and status(directory)["counters"]["queued"]:
        time.sleep(0.2)
    peak = watch.stop()
    print(f"   a {len(body) / MEGABYTE:.0f} MB message, in and out       {(peak - idle) / MEGABYTE:8.1f} MB more")

    resource.setrlimit(resource.RLIMIT_NOFILE, (8192, 8192))
    before = resident(relay.pid)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    held = []
    for _ in range(1000):
        client = smtplib.SMTP("127.0.0.1", port, local_hostname="app.contoso.test", timeout=60)
        client.starttls(context=context)
        client.ehlo()
        held.append(client)
    time.sleep(2)
    after = resident(relay.pid)
    print(f"   1,000 idle TLS sessions           {(after - before) / MEGABYTE:8.1f} MB more"
          f" ({(after - before) / 1024 / 1000:.0f} KiB a session)", flush=True)
    group.kill()
    sink.kill()


def status(directory):
    """Also of a relay that is just starting, or is not ready."""
    for _ in range(3000):
        out = subprocess.run([BINARY, "status", "--json", "--config", f"{directory}/posthouse.toml"], capture_output=True)
        if out.stdout:
            return json.loads(out.stdout)
        time.sleep(0.01)
    raise SystemExit(out.stderr.decode())


def disk(directory):
    return int(subprocess.run(["du", "-sb", "--exclude=reserve", f"{directory}/data"], capture_output=True).stdout.split()[0])


def million(work, arguments):
    """Aims: under 128 MB resident, serving within a second of a restart, the disk given back when they are gone."""
    group, directory, count = Group("million"), fresh(f"{work}/million"), arguments.million
    port, sink_port = free_port(), free_port()
    command = configuration(directory, port, sink_port)
    relay = start(group, command, None, f"{directory}/log")
    wait_for(port)
    watch, began = Watch(relay.pid), time.time()
    subprocess.run(["smtp-source", "-s", "50", "-d", "-l", "4096", "-m", str(count), "-f", "app@contoso.test",
                    "-t", "user@example.test", f"127.0.0.1:{port}"], check=True)
    took = time.time() - began
    counters = status(directory)["counters"]
    print(f"   {counters['messages']:,} messages of 4 KB queued in {took:.0f} s ({count / took:.0f}/s), next hop dead")
    print(f"   highest resident while filling    {watch.stop() / MEGABYTE:8.1f} MB")
    time.sleep(2)
    print(f"   resident after                    {resident(relay.pid) / MEGABYTE:8.1f} MB; disk {disk(directory) / MEGABYTE:,.0f} MB")

    group.kill()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{sink_port}", "1000"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(sink_port)
    began = time.time()
    relay = start(group, command, None, f"{directory}/log")
    wait_for(port)
    listening = time.time() - began
    watch = Watch(relay.pid)
    left = counters["messages"]
    while status(directory)["counters"]["messages"] >= left:
        time.sleep(0.02)
    first = time.time() - began
    print(f"   after kill -9: listening in {listening:.2f} s, first messages handed over within {first:.2f} s")
    began = time.time()
    while status(directory)["counters"]["messages"]:
        time.sleep(1)
        if time.time() - began > 1800:
            print("   the queue did not drain within half an hour")
            break
    print(f"   drained in {time.time() - began:.0f} s; highest resident {watch.stop() / MEGABYTE:.1f} MB")
    time.sleep(15)
    print(f"   disk after                        {disk(directory) / MEGABYTE:8.1f} MB", flush=True)
    group.kill()
    sink.kill()
