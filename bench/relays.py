"""Relays side by side: the same load (smtp-source) through each into the same sink (smtp-sink), in turn, round by round."""
import os, shutil, socket, statistics, subprocess, textwrap, threading, time

from machine import BINARY, Group, fresh, free_port, slow_sync as slowed, start, wait_for


def posthouse(group, work, port, sink, environment=None, tenant="", path="", client="", keys=()):
    """`tenant`, `path`, `client`: a further line of these tables; `keys`: of DKIM, by algorithm."""
    directory = fresh(f"{work}/posthouse")
    with open(f"{directory}/posthouse.toml", "w") as file:
        file.write(textwrap.dedent(f"""\
            hostname = "relay.contoso.test"
            data_dir = "data"

            [[listener]]
            address = "127.0.0.1:{port}"
            tls = "none"

            [[client]]
            name = "load"
            networks = ["127.0.0.0/8"]
            senders = ["*@contoso.test"]
            {client}

            [[tenant]]
            name = "contoso"
            id = "contoso.test"
            domains = ["contoso.test"]
            {tenant}

            [[tenant.path]]
            name = "sink"
            kind = "smarthost"
            address = "127.0.0.1:{sink}"
            tls = "none"
            {path}

            [limits]
            connections_per_address = 2000

            [log]
            level = "warn"
            """))
    for algorithm in keys:
        subprocess.run([BINARY, "dkim", "new", "contoso.test", "--selector", algorithm, "--algorithm", algorithm,
                               "--out", directory], check=True, stdout=subprocess.PIPE, text=True)
        key = next(name for name in os.listdir(directory) if name.endswith(".pem") and algorithm in name)
        with open(f"{directory}/posthouse.toml", "a") as file:
            file.write(f'\n[[dkim]]\ndomain = "contoso.test"\nselector = "{algorithm}"\nkey = "{key}"\n')
    return start(group, [BINARY, "serve", "--config", f"{directory}/posthouse.toml"], environment, f"{directory}/log")


def postfix(group, work, port, sink, environment=None):
    directory = fresh(f"{work}/postfix")
    for name in ("etc", "spool", "data"):
        os.makedirs(f"{directory}/{name}")
    shutil.chown(f"{directory}/data", "postfix")
    services = []
    for line in open("/usr/share/postfix/master.cf.dist").read().splitlines():
        if line.startswith("smtp ") and "inet" in line:
            line = f"127.0.0.1:{port} inet n - n - - smtpd"
        fields = line.split()
        if len(fields) >= 8 and fields[1] in ("unix", "inet") and not line.startswith("#"):
            fields[4] = "n"
            line = " ".join(fields)
        services.append(line)
    with open(f"{directory}/etc/master.cf", "w") as file:
        file.write("\n".join(services) + "\n")
    keep = "".join(f" {key}={value}" for key, value in (environment or {}).items())
    with open(f"{directory}/etc/main.cf", "w") as file:
        file.write(textwrap.dedent(f"""\
            compatibility_level = 3.6
            queue_directory = {directory}/spool
            data_directory = {directory}/data
            command_directory = /usr/sbin
            daemon_directory = /usr/lib/postfix/sbin
            myhostname = relay.contoso.test
            mydestination =
            mynetworks = 127.0.0.0/8
            relayhost = [127.0.0.1]:{sink}
            inet_interfaces = 127.0.0.1
            inet_protocols = ipv4
            smtp_dns_support_level = disabled
            smtpd_peername_lookup = no
            maillog_file = {directory}/maillog
            maillog_file_prefixes = /
            alias_maps =
            local_recipient_maps =
            default_process_limit = 100
            import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C{keep}
            """))
    return start(group, ["postfix", "-c", f"{directory}/etc", "start-fg"], None, f"{directory}/log")


def installed():
    relays = {"posthouse": posthouse}
    if os.path.exists("/usr/share/postfix/master.cf.dist"):
        relays["postfix"] = postfix
    else:
        print("   (Postfix is not installed: no comparison)")
    return relays


def one_round(name, launch, work, count, sessions, keep, environment, limit=600):
    group = Group(name)
    group.kill()
    port, sink_port = free_port(), free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", "-M", str(count), f"127.0.0.1:{sink_port}", "1000"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(sink_port)
    launch(group, work, port, sink_port, environment)
    wait_for(port)
    time.sleep(1.0)
    cpu, began = group.cpu(), time.time()
    command = ["smtp-source", "-s", str(sessions), "-l", "10240", "-m", str(count), "-f", "app@contoso.test",
               "-t", "user@example.test"] + (["-d"] if keep else []) + [f"127.0.0.1:{port}"]
    source = subprocess.run(command, timeout=limit, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    accepted = time.time()
    arrived = True
    try:
        sink.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        arrived = False
        sink.kill()
    ended = time.time()
    time.sleep(0.5)
    used = group.cpu() - cpu
    group.kill()
    if source.returncode != 0 or not arrived:
        print(f"   {name}: FAILED {source.stdout[-300:].decode(errors='replace')}")
    return {"accept": count / (accepted - began), "end_to_end": count / (ended - began) if arrived else 0.0,
            "cpu_ms": used * 1000 / count}


def compare(work, title, rounds, count, sessions, keep, environment=None, relays=None):
    relays = relays or installed()
    results = {name: [] for name in relays}
    for _ in range(rounds):
        for name, launch in relays.items():
            share = max(1000, count // 5) if name == "postfix" else count
            results[name].append(one_round(name, launch, work, share, sessions, keep, environment))
    print(f"   {title}; medians of {rounds} rounds")
    width = max(map(len, results))
    print(f"   {'':{width}} {'accepted/s':>11} {'end to end/s':>13} {'CPU ms/message':>15}")
    medians = {}
    for name, rows in results.items():
        medians[name] = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
        row = medians[name]
        print(f"   {name:{width}} {row['accept']:11.0f} {row['end_to_end']:13.0f} {row['cpu_ms']:15.3f}", flush=True)
    if "postfix" in medians:
        ours, theirs = medians["posthouse"], medians["postfix"]
        print(f"   {'ratio':{width}} {ours['accept'] / theirs['accept']:11.1f} {ours['end_to_end'] / theirs['end_to_end']:13.1f}"
              f" {theirs['cpu_ms'] / ours['cpu_ms']:15.1f}")
    return medians


def throughput(work, arguments):
    """Aim: a tenth of Postfix's CPU a message, five times its throughput."""
    for keep in (False, True):
        kind = "many messages a session" if keep else "one message a session"
        compare(work, f"10 KB messages, 20 sessions, {kind}", arguments.rounds, arguments.count, 20, keep)


def ledger(work, arguments):
    """Aim: the budgets cost less than a twentieth of the CPU a message."""
    def limited(group, work, port, sink, environment=None):
        return posthouse(group, work, port, sink, environment, "external_recipients_per_day = 100000000",
                         "messages_per_minute = 10000000\n            recipients_per_day = 100000000")
    medians = compare(work, "10 KB messages, 20 sessions, one message a session; with budgets: messages a minute, recipients "
                      "a day, the tenant's external recipients", arguments.rounds, arguments.count, 20, False,
                      relays={"posthouse": posthouse, "with budgets": limited})
    more = medians["with budgets"]["cpu_ms"] / medians["posthouse"]["cpu_ms"] - 1
    print(f"   the ledger costs {more * 100:+.1f} % CPU a message")


def senders(work, arguments):
    """No aim: what rewriting the sender and signing cost."""
    def with_(**more):
        return lambda group, work, port, sink, environment=None: posthouse(group, work, port, sink, environment, **more)
    rewriting = 'rewrite = "always"\n            rewrite_to = "relay@contoso.test"'
    compare(work, "10 KB messages, 20 sessions, one message a session", arguments.rounds, arguments.count, 20, False, relays={
        "as it is": posthouse,
        "rewritten": with_(client=rewriting),
        "Ed25519": with_(keys=("ed25519",)),
        "RSA-2048": with_(keys=("rsa",)),
        "rewritten, RSA-2048": with_(client=rewriting, keys=("rsa",)),
    })


def slow_sync(work, arguments):
    """Aim: six times Postfix's throughput with 200 sessions."""
    compare(work, "10 KB messages, 200 sessions, one message a session, +4 ms a sync", arguments.rounds,
            max(2000, arguments.count // 4), 200, False, slowed(work, 4))


BODY = b"From: app@contoso.test\r\nTo: user@example.test\r\nSubject: latency\r\n\r\n" + b"x" * 68 + b"\r\n" * 1
MESSAGE = BODY + (b"y" * 70 + b"\r\n") * 140


def one_latency(port):
    with socket.create_connection(("127.0.0.1", port), 30) as session:
        stream = session.makefile("rwb", buffering=0)

        def command(line):
            stream.write(line + b"\r\n")
            while True:
                reply = stream.readline()
                if reply[3:4] == b" ":
                    return reply

        stream.readline()
        command(b"EHLO app.contoso.test")
        command(b"MAIL FROM:<app@contoso.test>")
        command(b"RCPT TO:<user@example.test>")
        command(b"DATA")
        began = time.perf_counter()
        reply = command(MESSAGE + b".")
        took = time.perf_counter() - began
        assert reply.startswith(b"250"), reply
        command(b"QUIT")
        return took


def latency_of(name, launch, work, environment, callers, each):
    group = Group(name)
    group.kill()
    port, sink_port = free_port(), free_port()
    sink = subprocess.Popen(["smtp-sink", "-u", "nobody", f"127.0.0.1:{sink_port}", "1000"],
                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(sink_port)
    launch(group, work, port, sink_port, environment)
    wait_for(port)
    time.sleep(1.0)
    times = []

    def caller():
        for _ in range(each):
            times.append(one_latency(port))

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    group.kill()
    sink.kill()
    times.sort()
    return times[len(times) // 2] * 1000, times[int(len(times) * 0.99)] * 1000


def latency(work, arguments):
    print(f"   {'':10} {'sync':>6} {'callers':>8} {'p50 ms':>9} {'p99 ms':>9}")
    for milliseconds in (0, 4):
        environment = slowed(work, milliseconds) if milliseconds else None
        for callers in (1, 20):
            for name, launch in installed().items():
                p50, p99 = latency_of(name, launch, work, environment, callers, 400 // callers)
                print(f"   {name:10} {'+%d ms' % milliseconds:>6} {callers:8} {p50:9.2f} {p99:9.2f}", flush=True)
