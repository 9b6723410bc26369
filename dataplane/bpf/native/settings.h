/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The settings of settings.h where there are no instructions to write them into: an array. */
#ifndef HR_NATIVE_SETTINGS_H
#define HR_NATIVE_SETTINGS_H

static u32 hr_settings[HR_SETTINGS];

/* Says what is wrong and ends the process: a fault of whoever asks, or one that the tests are there to find. */
__attribute__((noreturn, format(printf, 1, 2))) static void hr_fault(const char *format, ...);

/* The kernel only cuts, also the mark of a cell that says one thing. Here an index that was not inside is what it is: a
 * fault of the compiler. */
static inline u32 hr_cut(u32 index, enum hr_setting mask) {
    if ((index & ~HR_VERDICT_ONLY) > hr_settings[mask])
        hr_fault("index %u is outside of its table: setting %d allows %u", index, mask, hr_settings[mask]);
    return index & hr_settings[mask];
}

/* Where the value of a map is; a list in native.c says which map. */
static void *hr_value(enum hr_value value);

#define HR_VALUE(map) hr_value(map)
#define HR_MASK(number, mask) ((number) &= (mask))
#define HR_SET(setting) (hr_settings[setting])
#define HR_CUT(index, mask) hr_cut(index, mask)
#define HR_TIMES(number, setting) ((number)*hr_settings[setting])
#define HR_BEHIND(address, bytes) ((void *)((u8 *)(address) + (bytes)))
#define HR_TABLE_OFFSET(at, bytes) ((u64)hr_settings[at] + (bytes))

#endif
