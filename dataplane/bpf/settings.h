/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Numbers that userspace writes into the instructions before it loads them (src/settings.rs), so that they cost no
 * memory access and the verifier knows them. In the object file they are moves of a mark plus the number of the
 * setting.
 */
#ifndef HR_SETTINGS_H
#define HR_SETTINGS_H

#define HR_SETTING_MARK 0x7e570000

/*
 * AT: offset of a table in a half of hr_image, in bytes. MASK: its elements, a power of two, less one (of classes,
 * pairs and verdicts times their bytes, for they are named by their place): an index is cut to the table, so that the
 * verifier sees it inside; one that were not inside would be a fault of the compiler, which tests compare with two
 * others.
 */
enum hr_setting {
    HR_ROOT6_AT,
    HR_CHUNKS_AT,
    HR_SKIPS_AT,
    HR_CLASSES_AT,
    HR_BASE_AT,
    HR_CELLS_AT,
    HR_PORTS_AT,
    HR_PAIRS_AT,
    HR_VBASE_AT,
    HR_VCELLS_AT,
    HR_VERDICTS_AT,
    HR_LIMITS_AT,
    HR_CHUNKS_MASK,
    HR_SKIPS_MASK,
    HR_CLASSES_MASK,
    HR_BASE_MASK,
    HR_CELLS_MASK,
    HR_PAIRS_MASK,
    HR_VBASE_MASK,
    HR_VCELLS_MASK,
    HR_VERDICTS_MASK,
    HR_LIMITS_MASK,
    HR_RULES_MASK,
    HR_CPUS_MASK,     /* CPUs that there may be, up to a power of two, less one */
    HR_RULES_BYTES,   /* the counters of one CPU and half */
    HR_RULES_INSIDE,  /* 1: hr_rules is one value; 0: one for each CPU and half */
    HR_CHUNKS_INSIDE, /* 1: the chunks are in hr_image; 0: in hr_chunks, on kernels that know no values above 4 MiB */
    HR_SETTINGS,
};

/* Maps of one value, whose address userspace writes into the instructions in the same way (src/settings.rs). */
#define HR_VALUE_MARK 0x7e580000

enum hr_value {
    HR_LIVE,
    HR_GATE,
    HR_TIMEOUTS,
    HR_CPUS,
    HR_RULES,
    HR_BUCKETS,
    HR_IMAGE_EVEN,
    HR_IMAGE_ODD,
    HR_VALUES,
};

#ifdef HR_NATIVE
#include "native/settings.h"
#else

/* The value of a map. */
#define HR_VALUE(map)                                                                                                  \
    ({                                                                                                                 \
        void *hr_at;                                                                                                   \
        asm("%0 = %1 ll" : "=r"(hr_at) : "i"(HR_VALUE_MARK + (map)));                                                  \
        hr_at;                                                                                                         \
    })

/* The value of a setting. */
#define HR_SET(setting)                                                                                                \
    ({                                                                                                                 \
        u32 hr_value;                                                                                                  \
        asm("%0 = %1" : "=w"(hr_value) : "i"(HR_SETTING_MARK + (setting)));                                            \
        hr_value;                                                                                                      \
    })

/* An index cut to its table. */
#define HR_CUT(index, mask)                                                                                            \
    ({                                                                                                                 \
        u32 hr_index = (index);                                                                                        \
        asm("%0 &= %1" : "+w"(hr_index) : "i"(HR_SETTING_MARK + (mask)));                                              \
        hr_index;                                                                                                      \
    })

/* A small number so many times. */
#define HR_TIMES(number, setting)                                                                                      \
    ({                                                                                                                 \
        u32 hr_product = (number);                                                                                     \
        asm("%0 *= %1" : "+w"(hr_product) : "i"(HR_SETTING_MARK + (setting)));                                         \
        hr_product;                                                                                                    \
    })

/* So many bytes behind something. Written out, for the compiler would copy the address and add to that. */
#define HR_BEHIND(address, bytes)                                                                                      \
    ({                                                                                                                 \
        u64 hr_behind = (bytes);                                                                                       \
        asm("%0 += %1" : "+r"(hr_behind) : "r"(address));                                                              \
        (void *)hr_behind;                                                                                             \
    })

/* Where in an image so many bytes of a table are. */
#define HR_TABLE_OFFSET(at, bytes)                                                                                     \
    ({                                                                                                                 \
        u64 hr_offset = (bytes);                                                                                       \
        asm("%0 += %1" : "+r"(hr_offset) : "i"(HR_SETTING_MARK + (at)));                                               \
        hr_offset;                                                                                                     \
    })

/* Cuts a small number in an instruction that the compiler cannot drop. */
#define HR_MASK(number, mask) asm("%0 &= %1" : "+w"(number) : "i"(mask))

#endif /* HR_NATIVE */

#endif
