/* Runs a program, and all that it starts, with a wall clock that is off by as much as a file says.
 *
 *     CLOCK_OFFSET=FILE SHIFTED_PROGRAM=PATH shifted_clock ARGUMENTS
 *
 * FILE has a number of seconds, and is read again and again: the clock jumps when it is written. libfaketime does so for programs that
 * ask the C library for the time. The workflow engine does not: like all programs of Go it reads the clock from the vDSO, where nobody
 * can get between. Here that is hidden from each program when it is loaded, so that it uses the system call, and a helper answers it.
 * The monotonic clock, by which sleep and time-outs go, is left alone. It is for Linux on x86-64.
 *
 * The program keeps this process's number, so that whoever started it can kill it.
 */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct clock {
    int listener, offset;
};

static void fail(const char *what) {
    perror(what);
    exit(111);
}

static long long offset_of(int file) {
    char text[32] = {0};
    return pread(file, text, sizeof text - 1, 0) > 0 ? atoll(text) : 0;
}

/* Has the kernel ask for each `clock_gettime` of the wall clock; gives the descriptor at which it asks. */
static int listen_for_clock(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 2),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) fail("no_new_privs");
    int listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
    if (listener < 0) fail("seccomp");
    return listener;
}

static void send_descriptor(int channel, int descriptor) {
    char byte = 0, space[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET, head->cmsg_type = SCM_RIGHTS, head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
    if (sendmsg(channel, &message, 0) < 0) fail("sendmsg");
}

static int receive_descriptor(int channel) {
    char byte, space[CMSG_SPACE(sizeof(int))];
    int descriptor;
    struct iovec part = {&byte, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    if (recvmsg(channel, &message, 0) <= 0 || !CMSG_FIRSTHDR(&message)) exit(0);
    memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    return descriptor;
}

/* Takes the vDSO out of what the kernel tells a new program (its auxiliary vector, behind its arguments and environment). */
static void hide_vdso(pid_t program) {
    long at = ptrace(PTRACE_PEEKUSER, program, offsetof(struct user, regs.rsp), 0);
    long word;
    at += sizeof(long) * (ptrace(PTRACE_PEEKDATA, program, at, 0) + 2); /* the number of arguments, they, and a null */
    do {
        word = ptrace(PTRACE_PEEKDATA, program, at, 0), at += sizeof(long);
    } while (word);
    for (; (word = ptrace(PTRACE_PEEKDATA, program, at, 0)) != AT_NULL; at += 2 * sizeof(long))
        if (word == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, program, at, AT_IGNORE);
}

/* Answers whoever asks for the time. */
static void *tell_time(void *of) {
    struct clock *clock = of;
    for (;;) {
        struct seccomp_notif asked = {0};
        struct seccomp_notif_resp answer = {0};
        struct timespec now;
        if (ioctl(clock->listener, SECCOMP_IOCTL_NOTIF_RECV, &asked)) {
            if (errno == EINTR || errno == ENOENT) continue; /* who asked has ended */
            return NULL;
        }
        clock_gettime(CLOCK_REALTIME, &now);
        now.tv_sec += offset_of(clock->offset);
        struct iovec here = {&now, sizeof now}, there = {(void *)asked.data.args[1], sizeof now};
        answer.id = asked.id;
        if (process_vm_writev(asked.pid, &here, 1, &there, 1, 0) != sizeof now) answer.error = -EFAULT;
        ioctl(clock->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

/* Follows the program and all that it starts, until they have ended. */
static void follow(pid_t program, int channel, int offset) {
    const long all = PTRACE_O_TRACEEXEC | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE;
    pthread_t thread;
    if (ptrace(PTRACE_SEIZE, program, 0, all)) fail("ptrace");
    send(channel, "", 1, 0); /* it may go on */
    struct clock clock = {receive_descriptor(channel), offset};
    if (pthread_create(&thread, NULL, tell_time, &clock)) fail("thread");
    send(channel, "", 1, 0);
    for (;;) {
        int status;
        pid_t one = waitpid(-1, &status, __WALL);
        if (one < 0 && errno == EINTR) continue;
        if (one < 0) exit(0);
        if (!WIFSTOPPED(status)) continue;
        int event = status >> 16;
        if (event == PTRACE_EVENT_EXEC) hide_vdso(one);
        ptrace(PTRACE_CONT, one, 0, event ? 0 : WSTOPSIG(status));
    }
}

int main(int count, char **arguments) {
    (void)count;
    const char *program = getenv("SHIFTED_PROGRAM"), *file = getenv("CLOCK_OFFSET");
    int channel[2], offset, listener;
    char byte;
    if (!program || !file || (offset = open(file, O_RDONLY | O_CLOEXEC)) < 0) fail("SHIFTED_PROGRAM and CLOCK_OFFSET");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel)) fail("socketpair");
    pid_t self = getpid(), helper = fork();
    if (helper < 0) fail("fork");
    if (!helper) {
        setpgid(0, 0);
        for (int other = 0; other < 3; other++) close(other); /* whoever reads what the program says does not wait for this */
        close(channel[0]);
        follow(self, channel[1], offset);
    }
    close(channel[1]);
    prctl(PR_SET_PTRACER, helper, 0, 0, 0);
    if (recv(channel[0], &byte, 1, 0) != 1) fail("the helper");
    listener = listen_for_clock();
    send_descriptor(channel[0], listener);
    if (recv(channel[0], &byte, 1, 0) != 1) fail("the helper");
    close(listener);
    arguments[0] = (char *)program;
    execv(program, arguments);
    fail(program);
}
