/* What the shim shares with whoever drives it: fault.py, from another process, and kth.h, from the
 * same one. Include after <stdatomic.h> and <stdint.h>. */
#ifndef FAULT_CONTROL_H
#define FAULT_CONTROL_H

/* The kinds, in the order of fault.py. */
enum kind {
    ALLOC,
    OPEN,
    READ,
    WRITE,
    SYNC,
    RENAME,
    REMOVE,
    MAP,
    SOCKET,
    RECEIVE,
    SEND,
    EVENT,
    THREAD,
    STATUS,
    SIZE,
    CLOSE,
    ENTROPY,
    INTERRUPT, /* EINTR from whatever may be interrupted */
    SHORT /* no more than half of the bytes, from whatever may give fewer than were asked for */
};

/* As fault.py has it: eight-byte fields, then text. */
struct control {
    _Atomic int64_t kinds;      /* one bit for each kind that counts; 0: none */
    _Atomic int64_t k;          /* the call that fails, from 1 */
    _Atomic int64_t always;     /* whether all after it fail too */
    _Atomic int64_t count;      /* the calls so far */
    _Atomic int64_t failed;     /* how many of them failed */
    _Atomic int64_t live;       /* blocks of memory that are allocated now */
    _Atomic int64_t track;      /* whether to remember where each block was allocated */
    _Atomic int64_t traced;     /* the length of the text */
    _Atomic int64_t counts[24]; /* the calls of each kind so far, whichever count */
    char trace[4096 - 256];     /* who made the first call that failed */
};

/* Of the shim that is in this process. */
struct control *fault_control(void);

#endif
