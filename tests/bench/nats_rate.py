"""What nats-server's JetStream takes for a job, in seconds of its processor time: to store a result, to store the report of
a shard, to tell one follower of a report, and to pass a call on to one more replica. These are inputs of fleet.py.

    nats_rate.py [--bytes 1000] [--messages 20000] [--reports 4000] [--followers 0,4,16]

Each result has a subject of its own, an id against doubles, a header, the bytes of a PNG; its stream is on disk and takes a
subject once. A report has a line for each of 64 images. The server's processor time is read, so that other work on the machine
does not count, nor does this program's. Needs nats-server (conf/deps.sh test).
"""

import argparse
import json
import os
import socket
import statistics
import subprocess
import tempfile
import time

WINDOW = 256  # messages that are not acknowledged yet


class Client:
    """As much of NATS's protocol as is needed here."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.file = self.socket.makefile("rb")
        self.file.readline()  # INFO
        self.send(b'CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true}\r\nSUB _in.* 1\r\n')

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The payload of the next message."""
        while True:
            line = self.file.readline()
            word, *fields = line.split()
            if word == b"PING":
                self.send(b"PONG\r\n")
            elif word in (b"MSG", b"HMSG"):
                body = self.file.read(int(fields[-1]) + 2)
                return body[int(fields[-2]) if word == b"HMSG" else 0:-2]
            elif word != b"+OK" and word != b"PONG":
                raise OSError(line)

    def ask(self, subject, **fields):
        text = json.dumps(fields).encode()
        self.send(b"PUB %s _in.a %d\r\n%s\r\n" % (subject.encode(), len(text), text))
        answer = json.loads(self.receive())
        if "error" in answer:
            raise OSError(answer["error"])
        return answer


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def result(name, number, size):
    """One image, as pfgmd sends it."""
    head = f"NATS/1.0\r\nNats-Msg-Id: {name}.{number}\r\nPfgm-Image: 7 35 0 {number:064x}\r\n\r\n".encode()
    payload = os.urandom(size)
    return b"HPUB pfgm.result.%s.%d _in.p %d %d\r\n%s%s\r\n" % (
        name.encode(), number, len(head), len(head) + size, head, payload)


def report(name, number):
    """What is said of the 64 images of a shard."""
    head = f"NATS/1.0\r\nNats-Msg-Id: {name}.{number}\r\n\r\n".encode()
    lines = "".join(f"{64 * number + i} 1000 7 35 0 {i:064x}\n" for i in range(64)).encode()
    return b"HPUB pfgm.done.%s.%d _in.p %d %d\r\n%s%s\r\n" % (
        name.encode(), 64 * number, len(head), len(head) + len(lines), head, lines)


def publish(client, messages):
    """Publishes them and waits for their acknowledgements, WINDOW on their way at most."""
    sent = heard = 0
    while heard < len(messages):
        batch = messages[sent:heard + WINDOW]
        sent += len(batch)
        client.send(b"".join(batch))
        for _ in range(max(1, min(64, sent - heard))):
            assert b'"error"' not in client.receive()
            heard += 1


class Followers:
    """Each with a connection of its own, in one process that only reads: of reports, or of calls between replicas."""

    def __init__(self, port, count):
        self.clients = [Client(port) for _ in range(count)]
        for i, client in enumerate(self.clients):
            client.send(b"SUB _follow.%d 2\r\nSUB pfgm.replicas 3\r\n" % i)
            client.ask("$JS.API.CONSUMER.CREATE.done", stream_name="done", config={
                "deliver_subject": f"_follow.{i}", "deliver_policy": "new", "ack_policy": "none", "mem_storage": True})
        self.pid = os.fork()
        if self.pid == 0:
            while True:
                for client in self.clients:
                    client.socket.setblocking(False)
                    try:
                        if not client.socket.recv(1 << 20):
                            os._exit(0)
                    except BlockingIOError:
                        continue
                time.sleep(0.002)

    def end(self):
        os.kill(self.pid, 15)
        os.waitpid(self.pid, 0)
        for client in self.clients:
            client.socket.close()


class Server:
    def __init__(self, folder, log):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.process = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", folder], stderr=log)

    def connect(self):
        for _ in range(100):
            try:
                return Client(self.port)
            except OSError:
                time.sleep(0.1)
        raise OSError("the server does not answer")

    def cost(self, work, count):
        """Processor seconds that it takes for one of so many."""
        before = processor_seconds(self.process.pid)
        work()
        time.sleep(1)
        return (processor_seconds(self.process.pid) - before) / count


def measure(server, o):
    client = server.connect()
    for name, subjects in (("results", "pfgm.result.>"), ("done", "pfgm.done.>")):
        client.ask(f"$JS.API.STREAM.CREATE.{name}", name=name, subjects=[subjects], storage="file", max_msgs_per_subject=1,
                   discard="new", discard_new_per_subject=True, max_msgs=-1, max_bytes=-1, num_replicas=1, retention="limits")
    publish(client, [result("warm", i, o.bytes) for i in range(o.messages // 10)])
    messages = [result("job", i, o.bytes) for i in range(o.messages)]
    print(f"nats-server: to store a result of {o.bytes} bytes "
          f"{1e6 * server.cost(lambda: publish(client, messages), o.messages):.1f} us")
    reports, calls = {}, {}
    call = b"PUB pfgm.replicas 200\r\n%s\r\n" % (200 * b"x")
    for count in map(int, o.followers.split(",")):
        followers = Followers(server.port, count)
        messages = [report(f"with{count}", i) for i in range(o.reports)]
        reports[count] = server.cost(lambda: publish(client, messages), o.reports)
        calls[count] = server.cost(lambda: [client.send(100 * call) for _ in range(o.messages // 100)], o.messages)
        print(f"{count:3d} followers: {1e6 * reports[count]:.1f} us per report, {1e6 * calls[count]:.1f} us per call")
        followers.end()
    for word, costs in (("report", reports), ("call", calls)):
        told = [(costs[c] - costs[0]) / c for c in costs if c]
        print(f"nats-server, a {word}: by itself {1e6 * costs[0]:.1f} us, per follower {1e6 * statistics.median(told):.1f} us")


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--bytes", type=int, default=1000)
    a.add_argument("--messages", type=int, default=20000)
    a.add_argument("--reports", type=int, default=4000)
    a.add_argument("--followers", default="0,4,16")
    o = a.parse_args()
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "wb") as log:
        server = Server(folder, log)
        try:
            measure(server, o)
        finally:
            server.process.terminate()
            server.process.wait()


if __name__ == "__main__":
    main()
