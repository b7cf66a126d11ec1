"""Every system call of Linux by name and number, and what a program gets that makes it.

What is not here, because it came later, does not exist for a program: libraries then do without.
Rows are `name:x86_64:aarch64`; `-` where an architecture has no such call. The numbers are those
of the kernel's headers.
"""

import functools
from collections.abc import Iterable
from typing import Literal, NamedTuple

from agentgym.errors import SandboxUnavailable

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""By the names of `platform.machine()`: what the kernel calls them in a filter."""


class Condition(NamedTuple):
    """What the low 32 bits of an argument must be: all that the kernel looks at in these."""

    argument: int
    kind: Literal["one of", "none of", "no bit of"]
    values: tuple[int, ...]


_NAMESPACES = 0x7E020000  # CLONE_NEWNS, CGROUP, UTS, IPC, USER, PID, NET
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_PERSONALITIES = (0, 0x0040000, 0xFFFFFFFF)  # Linux, without randomised addresses, just asking
_SIGNALS_AND_WATCHES = (
    10,
    1026,
)  # F_SETSIG: SIGCONT to who is to stand still; F_NOTIFY: as inotify

# No other families are well namespaced, and of NETLINK only what tells of routes and of sockets:
# another protocol of it delivers the events of the machine's devices.
_UNIX_INET_INET6 = (Condition(0, "one of", (1, 2, 10)),)
_NETLINK = (Condition(0, "one of", (16,)), Condition(2, "one of", (0, 4)))

CONDITIONS: dict[str, tuple[tuple[Condition, ...], ...]] = {
    "clone": ((Condition(0, "no bit of", (_NAMESPACES,)),),),
    "fcntl": ((Condition(1, "none of", _SIGNALS_AND_WATCHES),),),
    "ioctl": ((Condition(1, "none of", _TERMINAL_INPUT),),),
    "socket": (_UNIX_INET_INET6, _NETLINK),
    "socketpair": (_UNIX_INET_INET6, _NETLINK),
    "prlimit64": ((Condition(0, "one of", (0,)),),),  # of the caller itself
    "personality": ((Condition(0, "one of", _PERSONALITIES),),),
}
"""Allowed as long as one of these holds, each made of conditions on different arguments, else
refused."""

MEMORY_FILES = "memfd_create"
"""Allowed where a control group counts memory, else refused."""

ALLOWED = {
    "files": """
        open:2:- openat:257:56 openat2:437:437 creat:85:- close:3:57 close_range:436:436
        read:0:63 pread64:17:67 readv:19:65 preadv:295:69 preadv2:327:286 write:1:64
        pwrite64:18:68 writev:20:66 pwritev:296:70 pwritev2:328:287 lseek:8:62
        truncate:76:45 ftruncate:77:46 fallocate:285:47 fsync:74:82 fdatasync:75:83
        sync_file_range:277:84 fadvise64:221:223 readahead:187:213 sendfile:40:71
        splice:275:76 tee:276:77 copy_file_range:326:285 flock:73:32 dup:32:23
        dup2:33:- dup3:292:24 pipe:22:- pipe2:293:59
    """,
    "names": """
        stat:4:- fstat:5:80 lstat:6:- newfstatat:262:79 statx:332:291 statfs:137:43
        fstatfs:138:44 access:21:- faccessat:269:48 faccessat2:439:439 rename:82:-
        renameat:264:38 renameat2:316:276 link:86:- linkat:265:37 unlink:87:-
        unlinkat:263:35 symlink:88:- symlinkat:266:36 readlink:89:- readlinkat:267:78
        mkdir:83:- mkdirat:258:34 rmdir:84:- mknod:133:- mknodat:259:33 getcwd:79:17
        chdir:80:49 fchdir:81:50 getdents:78:- getdents64:217:61 umask:95:166 chmod:90:-
        fchmod:91:52 fchmodat:268:53 fchmodat2:452:452 chown:92:- fchown:93:55 lchown:94:-
        fchownat:260:54 utime:132:- utimes:235:- futimesat:261:- utimensat:280:88
    """,
    "extended attributes": """
        setxattr:188:5 lsetxattr:189:6 fsetxattr:190:7 setxattrat:463:463 getxattr:191:8
        lgetxattr:192:9 fgetxattr:193:10 getxattrat:464:464 listxattr:194:11
        llistxattr:195:12 flistxattr:196:13 listxattrat:465:465 removexattr:197:14
        lremovexattr:198:15 fremovexattr:199:16 removexattrat:466:466
    """,
    "waiting": """
        select:23:- pselect6:270:72 poll:7:- ppoll:271:73 epoll_create:213:-
        epoll_create1:291:20 epoll_ctl:233:21 epoll_wait:232:- epoll_pwait:281:22
        epoll_pwait2:441:441 eventfd:284:- eventfd2:290:19 signalfd:282:- signalfd4:289:74
        timerfd_create:283:85 timerfd_settime:286:86 timerfd_gettime:287:87
    """,
    "sockets": """
        connect:42:203 bind:49:200 listen:50:201 accept:43:202 accept4:288:242 sendto:44:206
        sendmsg:46:211 sendmmsg:307:269 recvfrom:45:207 recvmsg:47:212 recvmmsg:299:243
        shutdown:48:210 getsockname:51:204 getpeername:52:205 setsockopt:54:208
        getsockopt:55:209
    """,
    "memory": """
        mmap:9:222 mprotect:10:226 munmap:11:215 mremap:25:216 msync:26:227 mincore:27:232
        madvise:28:233 brk:12:214 mlock:149:228 mlock2:325:284 munlock:150:229
        mlockall:151:230 munlockall:152:231 pkey_mprotect:329:288 pkey_alloc:330:289
        pkey_free:331:290 membarrier:324:283 map_shadow_stack:453:453 mseal:462:462
    """,
    "processes": """
        fork:57:- vfork:58:- execve:59:221 execveat:322:281 exit:60:93 exit_group:231:94
        wait4:61:260 waitid:247:95 getpid:39:172 getppid:110:173 gettid:186:178
        getpgid:121:155 setpgid:109:154 getpgrp:111:- getsid:124:156 setsid:112:157
        kill:62:129 tkill:200:130 tgkill:234:131 pidfd_open:434:434
        pidfd_send_signal:424:424 uname:63:160 prctl:157:167 arch_prctl:158:-
        seccomp:317:277 landlock_create_ruleset:444:444 landlock_add_rule:445:445
        landlock_restrict_self:446:446 set_tid_address:218:96 set_robust_list:273:99
        get_robust_list:274:100 rseq:334:293 restart_syscall:219:128 futex:202:98
        futex_waitv:449:449 futex_wake:454:454 futex_wait:455:455 futex_requeue:456:456
        uretprobe:335:- uprobe:336:- getrandom:318:278
    """,
    "signals": """
        rt_sigaction:13:134 rt_sigprocmask:14:135 rt_sigreturn:15:139 rt_sigpending:127:136
        rt_sigtimedwait:128:137 rt_sigqueueinfo:129:138 rt_tgsigqueueinfo:297:240
        rt_sigsuspend:130:133 sigaltstack:131:132 pause:34:-
    """,
    "users": """
        getuid:102:174 geteuid:107:175 getgid:104:176 getegid:108:177 getresuid:118:148
        getresgid:120:150 getgroups:115:158 setuid:105:146 setgid:106:144 setreuid:113:145
        setregid:114:143 setresuid:117:147 setresgid:119:149 setgroups:116:159
        setfsuid:122:151 setfsgid:123:152 capget:125:90 capset:126:91
    """,
    "time and resources": """
        nanosleep:35:101 clock_nanosleep:230:115 clock_gettime:228:113 clock_getres:229:114
        gettimeofday:96:169 time:201:- times:100:153 alarm:37:- getitimer:36:102
        setitimer:38:103 getrlimit:97:163 setrlimit:160:164
        getrusage:98:165 sysinfo:99:179 getcpu:309:168 sched_yield:24:124
        sched_getaffinity:204:123 sched_getparam:143:121 sched_getscheduler:145:120
        sched_get_priority_max:146:125 sched_get_priority_min:147:126
        sched_rr_get_interval:148:127 sched_getattr:315:275 getpriority:140:141
        ioprio_get:252:31
    """,
}
"""What programs are made of."""

REFUSED = {
    "mounts, roots and namespaces": """
        mount:165:40 umount2:166:39 pivot_root:155:41 chroot:161:51 open_tree:428:428
        open_tree_attr:467:467 move_mount:429:429 fsopen:430:430 fsconfig:431:431
        fsmount:432:432 fspick:433:433 mount_setattr:442:442 unshare:272:97 setns:308:268
    """,
    "other processes: the worker runs as the same user as the program": """
        ptrace:101:117 process_vm_readv:310:270 process_vm_writev:311:271
        process_madvise:440:440 process_mrelease:448:448 pidfd_getfd:438:438 kcmp:312:272
        sched_setaffinity:203:122 sched_setscheduler:144:119 sched_setparam:142:118
        sched_setattr:314:274 setpriority:141:140 ioprio_set:251:30
    """,
    "kernel objects outside every namespace, and large attack surface": """
        add_key:248:217 request_key:249:218 keyctl:250:219 bpf:321:280
        perf_event_open:298:241 userfaultfd:323:282 io_uring_setup:425:425
        io_uring_enter:426:426 io_uring_register:427:427 fanotify_init:300:262
        fanotify_mark:301:263 name_to_handle_at:303:264 open_by_handle_at:304:265
        memfd_secret:447:447 vmsplice:278:75 remap_file_pages:216:234 mbind:237:235
        set_mempolicy:238:237 get_mempolicy:239:236 migrate_pages:256:238 move_pages:279:239
        set_mempolicy_home_node:450:450
    """,
    "watching what others do with the files that sandboxes share": """
        inotify_init:253:- inotify_init1:294:26 inotify_add_watch:254:27
        inotify_rm_watch:255:28
    """,
    "objects that outlive their process, and so a reset": """
        shmget:29:194 shmat:30:196 shmctl:31:195 shmdt:67:197 semget:64:190 semop:65:193
        semtimedop:220:192 semctl:66:191 msgget:68:186 msgsnd:69:189 msgrcv:70:188
        msgctl:71:187 mq_open:240:180 mq_unlink:241:181 mq_timedsend:242:182
        mq_timedreceive:243:183 mq_notify:244:184 mq_getsetattr:245:185
    """,
    "what the whole machine has one of: its disks, clocks and modules, and a pool of AIO contexts": """
        sync:162:81 syncfs:306:267 io_setup:206:0 io_destroy:207:1 io_getevents:208:4
        io_pgetevents:333:292 io_submit:209:2 io_cancel:210:3 syslog:103:116 quotactl:179:60
        quotactl_fd:443:443 acct:163:89 swapon:167:224 swapoff:168:225 reboot:169:142
        kexec_load:246:104 kexec_file_load:320:294 init_module:175:105 finit_module:313:273
        delete_module:176:106 settimeofday:164:170 clock_settime:227:112
        clock_adjtime:305:266 adjtimex:159:171 sethostname:170:161 setdomainname:171:162
        vhangup:153:58 lookup_dcookie:212:18 nfsservctl:180:42 ioperm:173:- iopl:172:-
        modify_ldt:154:- uselib:134:- ustat:136:- sysfs:139:-
    """,
}
"""Answered with EPERM."""

ABSENT = """
        clone3:435:435 cachestat:451:451 statmount:457:457 listmount:458:458
        lsm_get_self_attr:459:459 lsm_set_self_attr:460:460 lsm_list_modules:461:461
        _sysctl:156:- create_module:174:- get_kernel_syms:177:- query_module:178:-
        getpmsg:181:- putpmsg:182:- afs_syscall:183:- tuxcall:184:- security:185:-
        vserver:236:- set_thread_area:205:- get_thread_area:211:- epoll_ctl_old:214:-
        epoll_wait_old:215:- timer_create:222:107 timer_settime:223:110 timer_gettime:224:108
        timer_getoverrun:225:109 timer_delete:226:111
"""
"""Answered with ENOSYS: obsolete, of no use here, or (clone3, timer_create) with an argument that lies
in memory, out of a filter's sight: namespaces, or SIGCONT for a session that is to stand still.
Libraries then make the older call."""

CONDITIONAL = """
        clone:56:220 fcntl:72:25 ioctl:16:29 socket:41:198 socketpair:53:199 prlimit64:302:261
        personality:135:92 memfd_create:319:279
"""
"""Those of `CONDITIONS`, and memory files."""


@functools.cache
def numbers(rows: str, machine: str) -> dict[str, int]:
    """Return the calls of some rows that this architecture has.

    Raises:
        SandboxUnavailable: there is no column for it.
    """
    if machine not in ARCHITECTURES:
        raise SandboxUnavailable(
            f"no seccomp filter for the architecture {machine!r}",
            hint=f"sandboxes run on {', '.join(ARCHITECTURES)}",
        )
    column = 1 + list(ARCHITECTURES).index(machine)
    cells = (row.split(":") for row in rows.split())
    return {cell[0]: int(cell[column]) for cell in cells if cell[column] != "-"}


def all_of(groups: Iterable[str]) -> str:
    """Return several groups of rows as one."""
    return "\n".join(groups)
