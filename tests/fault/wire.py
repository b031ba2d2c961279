"""Two network namespaces and the wire between them, which may lose packets, hold them up, or be cut.

A TUN device in each namespace leads to this process, which carries the packets: what a kernel has for that (netem) many
kernels leave out. A namespace belongs to a thread here: what that thread starts or connects is in it."""

import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000
LIBC = ctypes.CDLL(None, use_errno=True)


class End:
    """One namespace: run() calls a function in it."""

    def __init__(self, own, other):
        self.pool = ThreadPoolExecutor(1)
        self.device = self.run(self.enter, own, other)

    @staticmethod
    def enter(own, other):
        if LIBC.unshare(CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "no new network namespace")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"wire", IFF_TUN | IFF_NO_PI))
        for words in (["addr", "add", own, "peer", other, "dev", "wire"], ["link", "set", "wire", "mtu", "1400", "up"],
                      ["link", "set", "lo", "up"]):
            subprocess.run(["ip", *words], check=True)
        return device

    def run(self, function, *args):
        return self.pool.submit(function, *args).result()

    def close(self):
        self.pool.shutdown()
        os.close(self.device)


class Wire:
    """`loss` is the share of packets that vanish, `delay_s` the least and the most time that a packet takes; `cut`: nothing
    comes through."""

    def __init__(self):
        self.loss, self.delay_s, self.cut, self.ended = 0.0, (0.0, 0.0), False, False
        self.carried = self.lost = 0
        self.server = End("10.200.0.1", "10.200.0.2")
        self.client = End("10.200.0.2", "10.200.0.1")
        self.thread = threading.Thread(target=self.carry)
        self.thread.start()

    def carry(self):
        dice, waiting, number = random.Random(1), [], 0
        devices = {self.server.device: self.client.device, self.client.device: self.server.device}
        while not self.ended:
            timeout = max(0.0, min(0.1, waiting[0][0] - time.monotonic())) if waiting else 0.1
            for device in select.select(list(devices), [], [], timeout)[0]:
                packet = os.read(device, 2048)
                if self.cut or dice.random() < self.loss:
                    self.lost += 1
                    continue
                number += 1
                heapq.heappush(waiting, (time.monotonic() + dice.uniform(*self.delay_s), number, devices[device], packet))
            while waiting and waiting[0][0] <= time.monotonic():
                _, _, device, packet = heapq.heappop(waiting)
                os.write(device, packet)
                self.carried += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()
        self.server.close()
        self.client.close()
