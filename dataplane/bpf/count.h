/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is counted: each CPU has counters of its own. */
#ifndef HR_COUNT_H
#define HR_COUNT_H

static __always_inline struct hr_cpu *hr_cpu_of(u32 number) {
    return HR_BEHIND(HR_VALUE(HR_CPUS), HR_CUT(number, HR_CPUS_MASK) * (u64)sizeof(struct hr_cpu));
}

static __always_inline struct hr_cpu *hr_this_cpu(void) {
    return hr_cpu_of(bpf_get_smp_processor_id());
}

static __always_inline void hr_add(struct hr_count *count, const struct hr_frame *f) {
    count->packets += f->packets;
    count->bytes += f->len;
}

static __always_inline void hr_count_reason(const struct hr_frame *f, struct hr_cpu *cpu, u32 reason) {
    hr_add(&cpu->count[f->hook][reason & (HR_REASONS - 1)], f);
}

static __always_inline void hr_count_rule(const struct hr_frame *f, struct hr_count *rules, u32 rule) {
    hr_add(HR_BEHIND(rules, HR_CUT(rule, HR_RULES_MASK) * (u64)sizeof(struct hr_count)), f);
}

/* `cpu`: the number of this one. */
static __always_inline void hr_count_rules(const struct hr_frame *f, u32 cpu, u32 slot, const struct hr_found *found) {
    u32 key = HR_CUT(cpu, HR_CPUS_MASK) * 2;
    struct hr_count *rules;
    u32 known;

    /* Keeps the compiler from an or in place of the sum, of which Linux 6.1 knows no bound. */
    barrier_var(key);
    key += slot;
    if (HR_SET(HR_RULES_INSIDE)) {
        rules = HR_BEHIND(HR_VALUE(HR_RULES), HR_TIMES(key, HR_RULES_BYTES));
    } else {
        known = key;
        rules = bpf_map_lookup_elem(&hr_rules, &known);
        if (!rules)
            return;
    }
    hr_count_rule(f, rules, found->in.rule);
    if (found->out.rule != found->in.rule)
        hr_count_rule(f, rules, found->out.rule);
}

#endif
