"""An Ethernet switch in user space, for kernels without netem: one tap device per port, each with a delay and a loss.

    switch.py PORT ...        makes the taps of these names, says "ready", then obeys standard input, line by line:
        delay PORT MS         frames to and from PORT take this long, half on each way
        loss PORT PERCENT     that many of them are lost, by a fixed sequence of random numbers
        cut PORT | mend PORT  none pass, as with a pulled cable; mend lets them pass again

It lives until its input ends, and answers each line with "ok". Whoever starts it moves the taps into network namespaces;
frames go on flowing here, because a tap belongs to the file it was made through.
"""

import fcntl
import heapq
import os
import random
import select
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
FRAME_BYTES_MAX = 65_536
# Frames on their way; a real switch drops past its buffers too.
WAITING_MAX = 10_000


class Port:
    """One cable."""

    def __init__(self, name):
        self.file = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.file, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI))
        self.delay_s, self.loss, self.is_cut = 0.0, 0.0, False

    def loses(self):
        return self.is_cut or (self.loss > 0 and random.random() < self.loss)


def main():
    ports = {name: Port(name) for name in sys.argv[1:]}
    by_file = {port.file: port for port in ports.values()}
    homes, waiting, count = {}, [], 0
    random.seed(1)
    poll = select.poll()
    for file in [*by_file, sys.stdin.fileno()]:
        poll.register(file, select.POLLIN)
    print("ready", flush=True)
    while True:
        left = max(0.0, waiting[0][0] - time.monotonic()) * 1000 if waiting else None
        for file, _ in poll.poll(left):
            if file == sys.stdin.fileno():
                line = sys.stdin.readline()
                if not line:
                    return
                obey(ports, line.split())
                print("ok", flush=True)
                continue
            frame = read(file)
            if frame is None:
                continue
            source = by_file[file]
            homes[frame[6:12]] = source
            # Unknown and group addresses go everywhere.
            target = homes.get(frame[:6])
            targets = [target] if target else [port for port in ports.values() if port is not source]
            for target in targets:
                if len(waiting) < WAITING_MAX and not (source.loses() or target.loses()):
                    count += 1
                    heapq.heappush(waiting, (time.monotonic() + source.delay_s + target.delay_s, count, target, frame))
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, target, frame = heapq.heappop(waiting)
            write(target, frame)


def obey(ports, words):
    verb, port = words[0], ports[words[1]]
    if verb == "delay":
        port.delay_s = float(words[2]) / 2000
    elif verb == "loss":
        # A frame is drawn for once, on its way in or out.
        port.loss = float(words[2]) / 100
    else:
        port.is_cut = verb == "cut"


def read(file):
    try:
        return os.read(file, FRAME_BYTES_MAX)
    except OSError:
        # The device is down while it is moved to its namespace.
        return None


def write(port, frame):
    try:
        os.write(port.file, frame)
    except OSError:
        pass


main()
