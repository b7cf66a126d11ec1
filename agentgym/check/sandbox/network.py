"""Programs that want to speak to somebody."""

import secrets
import socket

from agentgym.check.report import Failed
from agentgym.check.sandbox.judges import refused, says
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Limits

_NOWHERE = "192.0.2.1"  # of the block that RFC 5737 keeps for documentation


async def _loopback_of_host(target: Target) -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        code = f"""
def connect(host):
    with socket.socket() as s: s.settimeout(1); s.connect((host, {listener.getsockname()[1]}))
for host in ("127.0.0.1", "127.1.2.3", "0.0.0.0"): attempt(host, connect, host)
"""
        async with target.sandbox() as sandbox:
            seen = refused(await sandbox.python(program(code), limits=Limits(wall_s=5.0)))
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return seen
        raise Failed("it connected to the host")


async def _abstract_of_host(target: Target) -> str:
    name = f"\0agentgym-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name)
        listener.listen()
        code = f"""
attempt("connect", socket.socket(1).connect, {name!r})
attempt("list", lambda: {name[1:]!r} in open("/proc/net/unix").read() or os.open("/nowhere", 0))
"""
        async with target.sandbox() as sandbox:
            return refused(await sandbox.python(program(code)))


async def _abstract_of_others(target: Target) -> str:
    listen = """
s = socket.socket(1); s.bind("\\0agentgym-meet"); s.listen()
u = socket.create_server(("127.0.0.1", 44444))
"""
    meet = """
attempt("name", socket.socket(1).connect, "\\0agentgym-meet")
attempt("port", socket.create_connection, ("127.0.0.1", 44444), 1)
"""
    async with (
        target.sandbox() as one,
        target.sandbox() as other,
        await one.session() as session,
    ):
        await session.python(program(listen))
        return refused(await other.python(program(meet)))


ROWS = (
    Row(name="net_connect_host", must="the host's loopback is not its own", run=_loopback_of_host),
    attack(
        "net_connect",
        "no route to anywhere",
        f"""
def connect(family, *address):
    with socket.socket(family) as s: s.settimeout(1); s.connect(address)
attempt("test net", connect, 2, "{_NOWHERE}", 80)
attempt("documentation", connect, 10, "2001:db8::1", 80)
attempt("link local", connect, 10, "fe80::1", 80, 0, 2)
""",
    ),
    attack(
        "udp_dns",
        "no packet and no name",
        f"""
def send(family, *address):
    s = socket.socket(family, 2); s.setsockopt(1, 6, 1); s.sendto(b"x", address)
attempt("udp", send, 2, "{_NOWHERE}", 53)
attempt("broadcast", send, 2, "255.255.255.255", 53)
attempt("multicast", send, 2, "224.0.0.1", 53)
attempt("multicast", send, 10, "ff02::1", 53)
attempt("name", socket.gethostbyname, "example.com")
attempt("name", socket.getaddrinfo, "example.com", 80)
""",
    ),
    attack(
        "socket_families",
        "families that know no namespaces are refused",
        "for family in (3, 4, 5, 9, 15, 17, 21, 26, 29, 30, 31, 36, 37, 38, 39, 40, 41, 42, 43, 44):\n"
        "    for kind in (1, 2, 3, 5): attempt((family, kind), socket.socket, family, kind)",
    ),
    attack(
        "raw_icmp",
        "no raw sockets, and no answer to a ping",
        f"""
for family, protocol in ((2, 1), (2, 255), (10, 58)):
    attempt("raw", socket.socket, family, 3, protocol)
attempt("ping", lambda: socket.socket(2, 2, 1).sendto(b"\\x08" + bytes(7), ("{_NOWHERE}", 0)))
""",
    ),
    attack(
        "netlink",
        "no interface, address or route can be made",
        """
def ask(kind, flags, body):
    with socket.socket(16, 3, 0) as s:
        s.settimeout(1); s.bind((0, 0))
        s.send(struct.pack("IHHII", 16 + len(body), kind, 5 | flags, 1, 0) + body)
        number = struct.unpack_from("i", s.recv(9999), 16)[0]
        if number: raise OSError(-number, os.strerror(-number))
attempt("link", ask, 16, 0x600, struct.pack("BxHiII", 0, 0, 0, 1, 1) + struct.pack("HH8s", 12, 3, b"dummy0"))
attempt("address", ask, 20, 0x600, struct.pack("BBBBI", 2, 24, 0, 0, 1) + struct.pack("HH4s", 8, 2, bytes(4)))
attempt("route", ask, 24, 0x600, struct.pack("8BI", 2, 0, 0, 0, 254, 3, 0, 1, 0) + struct.pack("HHI", 8, 4, 1))
for protocol in (4, 6, 7, 9, 12, 18, 20):  # INET_DIAG is readable; these change or watch the machine
    def subscribe():
        with socket.socket(16, 3, protocol) as s: s.bind((0, 1)); s.setsockopt(270, 1, 1)
    if protocol in (9, 12, 20): attempt(protocol, subscribe)
""",
    ),
    Row(
        name="abstract_unix_host",
        must="sockets of the host have no name inside",
        run=_abstract_of_host,
    ),
    Row(
        name="abstract_unix_others",
        must="two sandboxes share no name and no port",
        run=_abstract_of_others,
    ),
    attack(
        "own_loopback",
        "works: it is nobody else's",
        """
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).sendall(b"hello")
print(server.accept()[0].recv(9).decode())
""",
        says("hello"),
    ),
)
