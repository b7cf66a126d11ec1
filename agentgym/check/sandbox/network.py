"""Programs that want to speak to somebody."""

import contextlib
import secrets
import socket
from collections.abc import Iterator, Sequence

from agentgym.check.report import Failed
from agentgym.check.sandbox.judges import expect, refused, says, shown
from agentgym.check.sandbox.program import program
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import Limits

_NOWHERE = "192.0.2.1"  # of the block that RFC 5737 keeps for documentation


async def _loopback_of_host(target: Target) -> str:
    with _listeners() as listeners:
        code = f"""
def connect(family, host, port):
    with socket.socket(family) as s: s.settimeout(1); s.connect((host, port))
for family, host, port in {_addresses(listeners)!r}: attempt(host, connect, family, host, port)
"""
        async with target.sandbox() as sandbox:
            seen = refused(await sandbox.python(program(code), limits=Limits(wall_s=5.0)))
        for listener in listeners:
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                raise Failed("it connected to the host")
        return seen


async def _packets_to_host(target: Target) -> str:
    """Ask for names where a server of this machine would listen: packets stay in the sandbox."""
    with _listeners(socket.SOCK_DGRAM) as listeners:
        code = f"""
question = struct.pack(">6H", 1, 256, 1, 0, 0, 0) + bytes([4]) + b"name" + bytes([0, 0, 1, 0, 1])
for family, host, port in {_addresses(listeners)!r}:
    with socket.socket(family, 2) as s:
        try: s.sendto(question, (host, port))
        except OSError: pass
print("sent")
"""
        async with target.sandbox() as sandbox:
            says("sent")(await sandbox.python(program(code)))
        _expect_silence(listeners)
        for listener in listeners:
            listener.sendto(b"x", listener.getsockname())
            expect(listener.recv(1) == b"x", "a listener of this check is deaf")
        return "no packet arrived"


def _expect_silence(listeners: Sequence[socket.socket]) -> None:
    for listener in listeners:
        with contextlib.suppress(BlockingIOError):
            raise Failed(f"a packet came to the host: {listener.recv(99)!r}")


@contextlib.contextmanager
def _listeners(kind: int = socket.SOCK_STREAM) -> Iterator[list[socket.socket]]:
    """Listen on the loopback of this machine, by either protocol that it has."""
    with contextlib.ExitStack() as stack:
        found = []
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            listener = stack.enter_context(socket.socket(family, kind))
            listener.setblocking(False)
            try:
                listener.bind((host, 0))
            except OSError:
                continue
            if kind == socket.SOCK_STREAM:
                listener.listen()
            found.append(listener)
        yield found


def _addresses(listeners: Sequence[socket.socket]) -> list[tuple[int, str, int]]:
    """Return family, host and port of every way to them that a program may try."""
    ways = {socket.AF_INET: ("127.0.0.1", "127.1.2.3", "0.0.0.0"), socket.AF_INET6: ("::1", "::")}
    return [
        (int(each.family), host, each.getsockname()[1])
        for each in listeners
        for host in ways[each.family]
    ]


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
        listening = await session.python(program(listen))
        expect(listening.exit_code == 0 and not listening.stderr, shown(listening))
        return refused(await other.python(program(meet)))


ROWS = (
    Row(name="net_connect_host", must="the host's loopback is not its own", run=_loopback_of_host),
    Row(name="udp_dns", must="no packet to a server of the host", run=_packets_to_host),
    attack(
        "net_connect",
        "no route to anywhere",
        f"""
def connect(kind, port):
    with socket.socket(2, kind) as s: s.settimeout(1); s.connect(("{_NOWHERE}", port))
def send():
    with socket.socket(2, 2) as s: s.sendto(b"x", ("{_NOWHERE}", 53))
attempt("tcp", connect, 1, 80)
attempt("udp", connect, 2, 53)
attempt("packet", send)
""",
    ),
    attack(
        "net_routes",
        "only the loopback, so no broadcast, no multicast and no neighbour either",
        """
def routes(name): return open("/proc/net/" + name).read().splitlines()
ways = routes("route")[1:] + [line for line in routes("ipv6_route") if line.split()[-1] != "lo"]
print("BREACH" if ways else "refused", "routes", ways)
devices = [line.split(":")[0].strip() for line in routes("dev")[2:]]
print("refused" if "lo" in devices else "BREACH", "devices", devices)
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
