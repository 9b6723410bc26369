/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What can be asked of the programs compiled for this machine; src/testing/native.rs asks. All in host order. */
#ifndef HR_NATIVE_REQUEST_H
#define HR_NATIVE_REQUEST_H

#include <linux/types.h>

enum hr_ask {
    HR_ASK_SETTINGS = 1, /* payload: the settings */
    HR_ASK_WORLD = 2,    /* argument 0: the set of maps that everything is about from now on */
    HR_ASK_MAKE = 3,     /* a map, empty; arguments: bytes of a value (0: as declared), entries */
    HR_ASK_CLEAR = 4,    /* a map: forget what is in it */
    HR_ASK_STORE = 5,    /* into an array; arguments: element, offset in bytes; payload */
    HR_ASK_UPDATE = 6,   /* a hash map; payload: key, value */
    HR_ASK_CLOCK = 7,    /* arguments: jiffies, nanoseconds, each low then high; processor */
    HR_ASK_RUN = 8,      /* a program; arguments as in native.c; payload: the frame; answer: struct hr_ran */
    HR_ASK_READ = 9,     /* an array; arguments: element, offset, bytes; answer: the bytes */
};

struct hr_request {
    __u32 ask;
    __u32 argument[5];
    char name[24]; /* of a map or a program */
};

struct hr_ran {
    __s32 action;
    __u32 reason, in_rule, out_rule; /* of hr_probe: 0 unless the program is a probe */
};

/* Carries out a request. The answer, if it has one, is there until the next. */
const void *hr_native_request(const void *request, __u32 bytes, __u32 *answer_bytes);

#endif
