"""The system calls a sandboxed program may not make, as a BPF program for the kernel.

A deny list: what user namespaces leave open and a program of a model never needs. Everything
else is allowed, so that ordinary programs run.
"""

import struct
from dataclasses import dataclass

from agentgym.errors import SandboxUnavailable

_ALLOW = 0x7FFF0000
_KILL_PROCESS = 0x80000000
_ERRNO = 0x00050000
_EPERM = 1
_ENOSYS = 38

# Opcodes of classic BPF, and offsets into `struct seccomp_data`.
_LOAD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_JUMP_ANY_BIT = 0x45
_RETURN = 0x06
_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16

_X32_BIT = 0x40000000
_CLONE_NEW = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_FAMILIES = (1, 2, 10, 16)  # UNIX, INET, INET6, NETLINK: all others are not, or badly, namespaced

# name: (x86_64, aarch64); None where the architecture has no such call.
_DENIED: dict[str, tuple[int | None, int | None]] = {
    # Mounts, roots and namespaces.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": (308, 268),
    # Other processes: the worker runs as the same user as the program.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setattr": (314, 274),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    # Kernel objects outside every namespace, and large attack surface.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "fanotify_init": (300, 262),
    "fanotify_mark": (301, 263),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "memfd_secret": (447, 447),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "get_mempolicy": (239, 236),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "set_mempolicy_home_node": (450, 450),
    # Objects that outlive their process, and so a reset.
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "shmdt": (67, 197),
    "semget": (64, 190),
    "semop": (65, 193),
    "semtimedop": (220, 192),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # The machine.
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "ioperm": (173, None),
    "iopl": (172, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers of one processor architecture."""

    audit: int
    column: int
    clone: int
    clone3: int
    ioctl: int
    socket: int
    socketpair: int
    prlimit64: int
    memfd_create: int


ARCHITECTURES = {
    "x86_64": Architecture(0xC000003E, 0, 56, 435, 16, 41, 53, 302, 319),
    "aarch64": Architecture(0xC00000B7, 1, 220, 435, 29, 198, 199, 261, 279),
}


def denied(machine: str) -> dict[str, int]:
    """Return the calls that are refused whatever their arguments, by name."""
    column = ARCHITECTURES[machine].column
    numbers = ((name, row[column]) for name, row in _DENIED.items())
    return {name: number for name, number in numbers if number is not None}


def build_filter(machine: str, *, allow_memfd: bool) -> bytes:
    """Return the BPF program for `machine` (as `platform.machine()` names it).

    `allow_memfd`: memory files are fine where a memory cgroup counts them.

    Raises:
        SandboxUnavailable: there is no table for this architecture.
    """
    if machine not in ARCHITECTURES:
        raise SandboxUnavailable(
            f"no seccomp filter for the architecture {machine!r}",
            hint=f"the local sandbox runs on {', '.join(ARCHITECTURES)}",
        )
    arch = ARCHITECTURES[machine]
    eperm = _ERRNO | _EPERM
    program = [
        *_load(_ARCHITECTURE),
        _op(_JUMP_EQUAL, arch.audit, if_true=1),
        _op(_RETURN, _KILL_PROCESS),
        *_load(_NUMBER),
    ]
    if machine == "x86_64":
        program += _refuse_when(_JUMP_GREATER_EQUAL, _X32_BIT, _ERRNO | _ENOSYS)
    for number in denied(machine).values():
        program += _refuse_when(_JUMP_EQUAL, number, eperm)
    if not allow_memfd:
        program += _refuse_when(_JUMP_EQUAL, arch.memfd_create, eperm)
    # The flags of clone3 lie in memory, out of a filter's sight; libc falls back to clone.
    program += _refuse_when(_JUMP_EQUAL, arch.clone3, _ERRNO | _ENOSYS)
    program += _inspect(arch.clone, 0, _refuse_when(_JUMP_ANY_BIT, _CLONE_NEW, eperm))
    for request in (_TIOCSTI, _TIOCLINUX):
        program += _inspect(arch.ioctl, 1, _refuse_when(_JUMP_EQUAL, request, eperm))
    for call in (arch.socket, arch.socketpair):
        program += _inspect(call, 0, _refuse_unless(_FAMILIES, eperm))
    program += _inspect(arch.prlimit64, 0, _refuse_unless((0,), eperm))
    program.append(_op(_RETURN, _ALLOW))
    return b"".join(program)


def _op(code: int, k: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, k)


def _load(offset: int) -> list[bytes]:
    return [_op(_LOAD, offset)]


def _refuse_when(test: int, operand: int, action: int) -> list[bytes]:
    return [_op(test, operand, if_false=1), _op(_RETURN, action)]


def _refuse_unless(allowed: tuple[int, ...], action: int) -> list[bytes]:
    tests = [
        _op(_JUMP_EQUAL, value, if_true=len(allowed) - index) for index, value in enumerate(allowed)
    ]
    return [*tests, _op(_RETURN, action)]


def _inspect(number: int, argument: int, tests: list[bytes]) -> list[bytes]:
    """Run `tests` on the low 32 bits of an argument, which is all the kernel uses of these."""
    body = [*_load(_ARGUMENTS + 8 * argument), *tests, *_load(_NUMBER)]
    return [_op(_JUMP_EQUAL, number, if_false=len(body)), *body]
