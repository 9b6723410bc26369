/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flow events: what is refused, what passes only because a policy observes, and what a rule wants logged. Telling never
 * blocks; a CPU tells as many as userspace grants it, and what is lost is counted.
 */
#ifndef HR_EVENTS_H
#define HR_EVENTS_H

static __always_inline bool hr_may_tell(struct hr_cpu *cpu) {
    u32 left = *(volatile u32 *)&cpu->may_tell;

    if (!left)
        return false;
    cpu->may_tell = left - 1;
    return true;
}

static __noinline int hr_describe(struct hr_event *event, const struct hr_packet *p, const struct hr_way *way,
                                  const struct hr_found *found, u32 reason) {
    event->time_ns = bpf_ktime_get_ns();
    event->src_hi = p->src_hi;
    event->src_lo = p->src_lo;
    event->dst_hi = p->dst_hi;
    event->dst_lo = p->dst_lo;
    event->ifindex = p->ifindex;
    event->generation = way->generation;
    event->in_rule = found->in.rule;
    event->out_rule = found->out.rule;
    event->sport = p->sport;
    event->dport = p->dport;
    event->protocol = p->protocol;
    event->v6 = p->v6;
    event->hook = way->hook;
    event->reason = reason;
    event->tcp_flags = p->flags;
    event->logged = hr_either(found, reason == HR_OBSERVED ? HR_FLAG_TRIAL_LOG : HR_FLAG_LOG);
    __builtin_memset(event->pad, 0, sizeof(event->pad));
    return 0;
}

__noinline int hr_tell(const struct hr_packet *p, const struct hr_way *way, const struct hr_found *found, u32 reason,
                       u32 bytes) {
    struct hr_cpu *cpu = hr_this_cpu();
    struct hr_event *event;

    if (!p || !way || !found)
        return 0;
    event = hr_may_tell(cpu) ? bpf_ringbuf_reserve(&hr_events, sizeof(*event), 0) : NULL;
    if (!event) {
        cpu->lost++;
        return 0;
    }
    hr_describe(event, p, way, found, reason);
    event->bytes = bytes;
    bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
    return 0;
}

#endif
