"""The drain at a mailbox's limit: a burst through the relay into the simulated Exchange Online, in real time."""
import datetime, json, os, re, statistics, subprocess, time, urllib.request

from machine import BINARY, Group, fresh, free_port, start, wait_for


def drain(work, arguments):
    """Aim: 98-100 % of 30 messages a minute, no refusal counted by the sandbox."""
    group, directory = Group("limit"), fresh(f"{work}/limit")
    submission, login, control, port = free_port(), free_port(), free_port(), free_port()
    start(group, [BINARY, "sandbox", "--dir", f"{directory}/sandbox", "--submission", f"127.0.0.1:{submission}",
                  "--login", f"127.0.0.1:{login}", "--control", f"127.0.0.1:{control}", "--listen", f"127.0.0.1:{port}"], None, f"{directory}/sandbox.log")
    file = f"{directory}/sandbox/posthouse.toml"
    while not os.path.exists(file):
        time.sleep(0.05)
    configuration = open(file).read()
    start(group, [BINARY, "serve", "--config", file], None, f"{directory}/log")
    wait_for(port)
    sender = re.search(r'mailbox = "([^"]+)"', configuration).group(1)
    count = 30 * (arguments.minutes + 2)
    subprocess.run(["smtp-source", "-s", "5", "-l", "10240", "-m", str(count), "-f", sender, "-t", "user@example.test",
                    f"127.0.0.1:{port}"], check=True)

    def asked(path):
        with urllib.request.urlopen(f"http://127.0.0.1:{control}/{path}") as answer:
            return json.load(answer)

    time.sleep(60 * arguments.minutes + 30)
    times = sorted(datetime.datetime.fromisoformat(message["received_at"][:23]) for message in asked("messages?limit=100000"))
    # At the limit the n-th message after any other comes a minute later; how much later shows the rate.
    gaps = [(later - earlier).total_seconds() for earlier, later in zip(times, times[30:])]
    whole = asked("statistics")
    mailbox = whole["mailboxes"][sender]
    print(f"   {len(times)} messages arrived; {30 * 60 / statistics.mean(gaps):.2f} a minute: "
          f"{60 / statistics.mean(gaps) * 100:.1f} % of the limit")
    print(f"   the sandbox refused {sum(whole['refusals'].values())} and delayed {mailbox['delayed']}; "
          f"most in any 60 seconds: {mailbox['most_messages_in_a_minute']}", flush=True)
    group.kill()
