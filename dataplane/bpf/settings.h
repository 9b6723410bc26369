/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Numbers that userspace writes into the instructions before it loads them (src/settings.rs), so that they cost no memory access and the
 * verifier knows them. In the object file they are moves of a mark plus the number of the setting.
 */
#ifndef HR_SETTINGS_H
#define HR_SETTINGS_H

#define HR_SETTING_MARK 0x7e570000

/* AT: offset of a table in a half of hr_image, in bytes. MAX: elements that it may have. */
enum hr_setting {
    HR_ROOT4_AT,
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
    HR_CHUNKS_MAX,
    HR_SKIPS_MAX,
    HR_CLASSES_MAX,
    HR_BASE_MAX,
    HR_CELLS_MAX,
    HR_PAIRS_MAX,
    HR_VBASE_MAX,
    HR_VCELLS_MAX,
    HR_VERDICTS_MAX,
    HR_RULES_MAX,
    HR_CHUNKS_INSIDE, /* 1: the chunks are in hr_image; 0: in hr_chunks, on kernels that know no values above 4 MiB */
    HR_SETTINGS,
};

#define HR_SET(setting)                                                                                                            \
    ({                                                                                                                             \
        u32 hr_value;                                                                                                              \
        asm("%0 = %1" : "=w"(hr_value) : "i"(HR_SETTING_MARK + (setting)));                                                        \
        hr_value;                                                                                                                  \
    })

#endif
