"""What nats-server's JetStream takes per result of a job: to store it, and to tell one follower of it, in seconds of its
processor time. These are inputs of fleet.py.

    nats_rate.py [--bytes 1000] [--messages 20000] [--followers 0,4,16]

Each message is like a result: a subject of its own, an id against doubles, a header, the bytes of a PNG; its stream is on disk
and takes a subject once. A follower gets headers only. The server's processor time is read, so that other work on the machine
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


def publish(client, name, count, size):
    """Publishes so many and waits for their acknowledgements, WINDOW on their way at most."""
    payload, sent, heard = os.urandom(size), 0, 0
    while heard < count:
        batch = []
        while sent < count and sent - heard + len(batch) < WINDOW:
            head = f"NATS/1.0\r\nNats-Msg-Id: {name}.{sent}\r\nPfgm-Image: 7 35 0 {sent:064x}\r\n\r\n".encode()
            batch.append(b"HPUB pfgm.result.%s.%d _in.p %d %d\r\n%s%s\r\n" % (
                name.encode(), sent, len(head), len(head) + size, head, payload))
            sent += 1
        client.send(b"".join(batch))
        for _ in range(max(1, min(64, sent - heard))):
            assert b'"error"' not in client.receive()
            heard += 1


class Followers:
    """Consumers of headers only, each with a connection of its own, in one process that only reads."""

    def __init__(self, port, count):
        self.clients = [Client(port) for _ in range(count)]
        for i, client in enumerate(self.clients):
            client.send(b"SUB _follow.%d 2\r\n" % i)
            client.ask("$JS.API.CONSUMER.CREATE.results", stream_name="results", config={
                "deliver_subject": f"_follow.{i}", "deliver_policy": "new", "ack_policy": "none", "headers_only": True,
                "mem_storage": True})
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


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--bytes", type=int, default=1000)
    a.add_argument("--messages", type=int, default=20000)
    a.add_argument("--followers", default="0,4,16")
    o = a.parse_args()
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(folder, "log"), "wb") as log:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        server = subprocess.Popen(["nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder], stderr=log)
        try:
            for _ in range(100):
                try:
                    client = Client(port)
                    break
                except OSError:
                    time.sleep(0.1)
            client.ask("$JS.API.STREAM.CREATE.results", name="results", subjects=["pfgm.result.>"], storage="file",
                       max_msgs_per_subject=1, discard="new", discard_new_per_subject=True, max_msgs=-1, max_bytes=-1,
                       num_replicas=1, retention="limits")
            publish(client, "warm", o.messages // 10, o.bytes)
            costs = {}
            for count in map(int, o.followers.split(",")):
                followers = Followers(port, count)
                before, begun = processor_seconds(server.pid), time.monotonic()
                publish(client, f"with{count}", o.messages, o.bytes)
                time.sleep(1)
                costs[count] = (processor_seconds(server.pid) - before) / o.messages
                print(f"{count:3d} followers: {1e6 * costs[count]:.1f} us of processor time per message, "
                      f"{o.messages / (time.monotonic() - begun - 1):.0f} messages/s here")
                followers.end()
            told = [(costs[c] - costs[0]) / c for c in costs if c]
            print(f"nats-server, {o.bytes} bytes: to store {1e6 * costs[0]:.1f} us, to tell one follower "
                  f"{1e6 * statistics.median(told):.1f} us")
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
