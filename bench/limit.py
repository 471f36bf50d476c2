"""The drain at a mailbox's limit: a burst through the relay into the simulated Exchange Online, in real time."""
import json, re, subprocess, time, urllib.request

from machine import BINARY, Group, fresh, free_port, start, wait_for


def drain(work, arguments):
    """Aim: 98-100 % of 30 messages a minute, no refusal counted by the sandbox."""
    group, directory = Group("limit"), fresh(f"{work}/limit")
    submission, login, control, port = free_port(), free_port(), free_port(), free_port()
    start(group, [BINARY, "sandbox", "--dir", f"{directory}/sandbox", "--submission", f"127.0.0.1:{submission}",
                  "--login", f"127.0.0.1:{login}", "--control", f"127.0.0.1:{control}"], None, f"{directory}/sandbox.log")
    wait_for(control)
    configuration = open(f"{directory}/sandbox/posthouse.toml").read()
    configuration = re.sub(r'(\[\[listener\]\]\naddress = )"[^"]*"', rf'\1"127.0.0.1:{port}"', configuration)
    file = f"{directory}/sandbox/bench.toml"
    with open(file, "w") as out:
        out.write(configuration)
    start(group, [BINARY, "serve", "--config", file], None, f"{directory}/log")
    wait_for(port)
    sender = re.search(r'mailbox = "([^"]+)"', configuration).group(1)
    count = 30 * (arguments.minutes + 2)
    subprocess.run(["smtp-source", "-s", "5", "-l", "10240", "-m", str(count), "-f", sender, "-t", "user@example.test",
                    f"127.0.0.1:{port}"], check=True)

    def received():
        with urllib.request.urlopen(f"http://127.0.0.1:{control}/statistics") as answer:
            return json.load(answer)

    time.sleep(30)
    first, began = received(), time.time()
    time.sleep(60 * arguments.minutes)
    last, minutes = received(), (time.time() - began) / 60
    rate = (last["messages_accepted"] - first["messages_accepted"]) / minutes
    print(f"   {rate:.2f} messages a minute over {minutes:.1f} minutes: {rate / 30 * 100:.1f} % of the limit")
    print(f"   the sandbox delayed {last.get('delayed', 0)} and refused {sum(last['refusals'].values())}; "
          f"most in any rolling minute: {last.get('most_in_a_minute')}", flush=True)
    group.kill()
