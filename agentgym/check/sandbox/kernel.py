"""Programs that want more of the kernel than ordinary programs need."""

from agentgym.check.report import NotChecked
from agentgym.check.sandbox.judges import ends, expect, says, shown
from agentgym.check.sandbox.row import Row, attack
from agentgym.check.sandbox.target import Target
from agentgym.sandbox import ExecResult, Status


def _killed_or_refused(result: ExecResult) -> str:
    expect(b"BREACH" not in result.stdout, shown(result))
    is_over = result.status is Status.SIGNALED or b"refused" in result.stdout
    expect(is_over, shown(result))
    return f"signal {result.signal}" if result.signal else "refused"


async def _setuid_programs(target: Target) -> str:
    async with target.sandbox() as sandbox:
        result = await sandbox.exec(["sh", "-c", "id -u; su -c id; mount -t tmpfs x /tmp; id -u"])
        uids = set(result.stdout.decode().split())
        expect(len(uids) == 1 and "0" not in uids, shown(result))
        status = await sandbox.exec(["cat", "/proc/self/status"])
        for line in (b"CapEff:\t0000000000000000", b"CapBnd:\t0000000000000000"):
            expect(line in status.stdout, f"expected {line.decode()}")
        for line in (b"CapPrm:\t0000000000000000", b"CapAmb:\t0000000000000000"):
            expect(line in status.stdout, f"expected {line.decode()}")
        expect(b"\nNoNewPrivs:\t1\n" in status.stdout, "programs may gain privileges")
        expect(b"\nSeccomp:\t2\n" in status.stdout, "there is no filter of system calls")
        return f"user {uids.pop()} stays so; no capabilities, no new privileges, a filter"


async def _foreign_calls(target: Target) -> str:
    import platform

    if platform.machine() != "x86_64":
        raise NotChecked("there are no such calls on this architecture")
    row = attack("", "", _INT80, _killed_or_refused)
    return await row.run(target)


_INT80 = """
import mmap
area = mmap.mmap(-1, 4096, prot=7)
area[:13] = bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3, 0, 0, 0, 0, 0])  # getpid of i386
at = ctypes.addressof(ctypes.c_char.from_buffer(area))
print("BREACH", ctypes.CFUNCTYPE(ctypes.c_long)(at)())
"""

ROWS = (
    attack(
        "proc_sys_write",
        "the kernel cannot be configured",
        """
def write_back(path):
    value = open(path, "rb").read()
    os.write(os.open(path, os.O_WRONLY), value)
for path in ("sys/kernel/core_pattern", "sysrq-trigger", "sys/vm/overcommit_memory", "irq",
    "sys/vm/drop_caches", "sys/kernel/hostname", "sys/user/max_user_namespaces", "bus", "acpi",
    "sys/kernel/ns_last_pid", "sys/net/ipv4/ip_forward", "sys/fs/pipe-max-size", "mtrr"):
    attempt(path, os.open, "/proc/" + path, os.O_WRONLY)
for name in ("uid_map", "gid_map", "setgroups", "projid_map", "attr/current", "attr/exec"):
    attempt(name, write_back, "/proc/self/" + name)
""",
    ),
    attack(
        "oom_score_minus1000",
        "it cannot be spared when memory is short",
        "attempt('spare', lambda: os.write(os.open('/proc/self/oom_score_adj', 1), b'-1000'))",
    ),
    attack(
        "mount_family",
        "no mounts, old or new",
        """
call("mount", b"none", b"/tmp", b"tmpfs", 0, 0); call("umount2", b"/proc", 2)
call("mount", b"none", b"/", 0, 4096 | 32, 0); call("fsopen", b"tmpfs", 0)
call("open_tree", -100, b"/", 1); call("move_mount", 0, b"", -100, b"/tmp", 4)
call("fsconfig", 0, 6, 0, 0, 0); call("fsmount", 0, 0, 0); call("fspick", -100, b"/", 0)
call("mount_setattr", -100, b"/", 0, 0, 0)
""",
    ),
    attack(
        "chroot",
        "no other root",
        "call('chroot', b'/tmp'); call('pivot_root', b'/tmp', b'/tmp')",
    ),
    attack(
        "new_namespaces",
        "no namespaces, whatever the call",
        """
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000, 0x80):
    call("unshare", flag)
    if flag != 0x80: call("clone", flag | 17, 0, 0, 0, 0)
call("clone3", ctypes.create_string_buffer(struct.pack("8Q", 1 << 28, 0, 0, 0, 17, 0, 0, 0)), 64)
for name in os.listdir("/proc/self/ns"):
    call("setns", os.open("/proc/self/ns/" + name, 0), 0)
""",
    ),
    attack(
        "namespace_parents",
        "no way from a namespace to the one above it",
        """
for name in os.listdir("/proc/self/ns"):
    fd = os.open("/proc/self/ns/" + name, 0)
    if name in ("user", "pid"): attempt(name, fcntl.ioctl, fd, 0xb702)  # NS_GET_PARENT
    try: call("setns", fcntl.ioctl(fd, 0xb701), 0)  # NS_GET_USERNS: our own, or refused
    except OSError as error: print("refused", name, error)
""",
    ),
    attack(
        "keyctl",
        "no keys: they are nobody's alone",
        """
call("keyctl", 0, -3, 0); call("add_key", b"user", b"a", b"b", 1, -3)
call("request_key", b"user", b"a", 0, 0)
""",
    ),
    attack(
        "io_uring",
        "no rings",
        "call('io_uring_setup', 1, ctypes.create_string_buffer(120))\n"
        "call('io_uring_enter', 0, 0, 0, 0, 0); call('io_uring_register', 0, 0, 0, 0)",
    ),
    attack(
        "kernel_surface",
        "what ordinary programs never need is refused",
        """
call("bpf", 0, ctypes.create_string_buffer(72), 72)
call("perf_event_open", ctypes.create_string_buffer(128), 0, -1, -1, 0)
call("userfaultfd", 1); call("fanotify_init", 0, 0); call("fanotify_init", 0x200, 0)
handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
for path in (b"/", b"/usr", b"/tmp"):
    call("name_to_handle_at", -100, path, handle, ctypes.byref(ctypes.c_int()), 0)
call("open_by_handle_at", os.open("/usr", 0), handle, 0)
call("quotactl", 0, 0, 0, 0); call("syslog", 3, 0, 0); call("acct", 0); call("vhangup")
call("memfd_secret", 0); call("lookup_dcookie", 0, 0, 0); call("mbind", 0, 0, 0, 0, 0, 0)
call("reboot", 0, 0, 0, 0); call("kexec_load", 0, 0, 0, 0); call("swapon", b"/tmp", 0)
call("init_module", 0, 0, b""); call("finit_module", 0, b"", 0); call("delete_module", b"x", 0)
call("sethostname", b"x", 1); call("setdomainname", b"x", 1)
""",
    ),
    attack(
        "tiocsti",
        "nothing can be typed into a terminal",
        """
attempt("pty", fcntl.ioctl, os.openpty()[0], 0x5412, b"x")
attempt("pty", fcntl.ioctl, os.openpty()[1], 0x541C, b"\\x03")
attempt("stdin", fcntl.ioctl, 0, 0x5412, b"x")
attempt("tty", lambda: fcntl.ioctl(os.open("/dev/tty", 2), 0x5412, b"x"))
""",
    ),
    attack(
        "clock_set",
        "no clock can be set",
        """
spec = (ctypes.c_long * 2)(10**9, 0)
call("clock_settime", 0, spec); call("settimeofday", spec, 0)
timex = ctypes.create_string_buffer(struct.pack("i", 1) + bytes(300))
call("adjtimex", timex); call("clock_adjtime", 0, timex)
""",
    ),
    Row(
        name="setuid_binaries",
        must="su gives nothing: no capabilities, no new privileges",
        run=_setuid_programs,
    ),
    attack(
        "become_root",
        "no other user, no capability",
        """
for change in (os.setuid, os.setgid, os.seteuid, os.setegid): attempt("id", change, 0)
attempt("groups", os.setgroups, [0])
call("capset", ctypes.create_string_buffer(struct.pack("Ii", 0x20080522, 0)),
     ctypes.create_string_buffer(b"\\xff" * 24))
print("refused" if libc.prctl(28, 0x2f, 0, 0, 0) else "BREACH", "securebits")
print("refused" if libc.prctl(47, 2, 21, 0, 0) else "BREACH", "ambient")
""",
    ),
    attack(
        "mknod",
        "no devices",
        """
for kind, device in ((0o60600, (8, 0)), (0o20600, (1, 1)), (0o20600, (10, 200))):
    for top in ("/box", "/tmp", "/dev/shm"):
        attempt(top, os.mknod, top + "/device", kind, os.makedev(*device))
""",
    ),
    Row(name="foreign_calls", must="calls of another architecture kill", run=_foreign_calls),
    attack(
        "x32_calls",
        "the other numbers of this architecture are refused",
        "got = libc.syscall(ctypes.c_long(0x40000000 + CALLS['getpid']))\n"
        "print('BREACH' if got > 0 else 'refused', got)",
        _killed_or_refused,
    ),
    attack(
        "notified_calls",
        "a process that waits for the answer to a system call can be killed",
        """
libc.prctl(38, 1, 0, 0, 0)
steps = b"".join(struct.pack("HBBI", *step) for step in
    ((0x20, 0, 0, 0), (0x15, 0, 1, CALLS["getppid"]), (6, 0, 0, 0x7fc00000), (6, 0, 0, 0x7fff0000)))
held = ctypes.create_string_buffer(steps)
got = syscall("seccomp", 1, 8, ctypes.create_string_buffer(struct.pack("H6xQ", 4, ctypes.addressof(held))))
if os.fork() == 0: os.getppid()
print("waits" if got >= 0 else "refused", flush=True); time.sleep(0.2)
""",
        says("waits", "refused"),
    ),
    attack(
        "landlock",
        "binding itself binds nobody else",
        """
rules = ctypes.create_string_buffer(struct.pack("Q", (1 << 13) - 1))
fd = syscall("landlock_create_ruleset", rules, 8, 0)
libc.prctl(38, 1, 0, 0, 0)
got = syscall("landlock_restrict_self", fd, 0)
try: os.listdir("/box"); print("refused")
except PermissionError: print("bound")
""",
        says("bound", "refused"),
    ),
    attack(
        "kernel_addresses",
        "the kernel tells no address and no log",
        """
def leaks(path):
    for line in open(path):
        if any(word.strip("0x") for word in line.replace("-", " ").split()[:2]
               if len(word) >= 8 and not word.strip("0123456789abcdefx")): return line
    os.open("/nowhere", 0)
def lists(path): return open(path).read().splitlines() or os.open("/nowhere", 0)
for path in ("kallsyms", "iomem", "modules", "vmallocinfo"): attempt(path, leaks, "/proc/" + path)
for path in ("keys", "key-users"): attempt(path, lists, "/proc/" + path)
for path in ("/proc/kcore", "/proc/kmsg", "/dev/kmsg", "/dev/mem", "/proc/slabinfo",
             "/proc/pagetypeinfo", "/proc/self/stack", "/proc/timer_list", "/proc/sched_debug"):
    attempt(path, lambda: open(path, "rb").read(1) or os.open("/nowhere", 0))
""",
    ),
    attack(
        "device_nodes",
        "harmless devices only",
        """
import stat
known = {"null", "zero", "full", "random", "urandom", "tty", "ptmx", "console"}
for name in os.listdir("/dev"):
    mode = os.lstat("/dev/" + name).st_mode
    if stat.S_ISBLK(mode) or stat.S_ISCHR(mode):
        print("refused" if name in known else "BREACH", name)
for name in ("kvm", "fuse", "net/tun", "vhost-net", "uinput", "userfaultfd", "loop0", "dm-0"):
    attempt(name, os.open, "/dev/" + name, os.O_RDWR)
""",
    ),
    attack(
        "personality",
        "odd ways of running are those of the program alone",
        "for flag in (0x0040000, 0x0400000, 0x8000000, 8): libc.personality(flag)\n"
        "os.execv('/bin/true', ['true'])",
        ends(Status.EXITED, Status.SIGNALED),
    ),
    attack(
        "restartable_sequences",
        "lists that the kernel walks when a program dies harm only the program",
        """
import mmap
area = mmap.mmap(-1, 4096); at = ctypes.addressof(ctypes.c_char.from_buffer(area))
area[:24] = struct.pack("3Q", at, 0, 0)  # a robust list that leads to itself
syscall("set_robust_list", ctypes.c_void_p(at), 24)
for bad in (1, 0xffff800000000000, at + 4095):
    syscall("set_tid_address", ctypes.c_void_p(bad))
    if os.fork() == 0:
        syscall("set_robust_list", ctypes.c_void_p(bad), 24); syscall("rseq", ctypes.c_void_p(bad), 32, 0, 0)
        os._exit(0)
    os.wait()
print("done")
""",
        says("done"),
    ),
)
