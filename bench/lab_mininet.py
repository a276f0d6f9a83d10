# SPDX-License-Identifier: Apache-2.0
"""Mininet's side of bench/lab: a ring of so many hosts, or a fat tree, up and down.

    lab_mininet.py ring N | fat_tree 4      prints: seconds up, seconds down

Hosts only, joined by pairs of interfaces: they share one kernel, and there is no
switch in either network.
"""
import sys
import time

from mininet.net import Mininet


def ring(net, size):
    hosts = [net.addHost("r%d" % n) for n in range(size)]
    for n in range(size):
        net.addLink(hosts[n], hosts[(n + 1) % size])


def fat_tree(net, k):
    half = k // 2
    core = [net.addHost("c%d" % n) for n in range(half * half)]
    for pod in range(k):
        above = [net.addHost("p%da%d" % (pod, n)) for n in range(half)]
        edges = [net.addHost("p%de%d" % (pod, n)) for n in range(half)]
        for i in range(half):
            for j in range(half):
                net.addLink(core[i * half + j], above[i])
                net.addLink(above[j], edges[i])
                net.addLink(edges[i], net.addHost("h%d%d%d" % (pod, i, j)))


def main(shape, size):
    net = Mininet(controller=None, autoSetMacs=True)
    begin = time.monotonic()
    {"ring": ring, "fat_tree": fat_tree}[shape](net, int(size))
    net.start()
    up = time.monotonic()
    net.stop()
    print(up - begin, time.monotonic() - up)


main(*sys.argv[1:])
