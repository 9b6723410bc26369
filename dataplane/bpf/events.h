/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flow events: what is refused, what passes only because a policy observes, and what a rule wants logged. Telling never
 * blocks; a CPU tells so many in a tick, and what is lost is counted.
 */
#ifndef HR_EVENTS_H
#define HR_EVENTS_H

/* A tick is about a quarter of a second. */
#define HR_EVENTS_PER_TICK_MAX 256

static __always_inline bool hr_may_tell(struct hr_cpu *cpu) {
    u32 tick = hr_tick();

    if (cpu->tick != tick) {
        cpu->tick = tick;
        cpu->told = 0;
    }
    if (cpu->told >= HR_EVENTS_PER_TICK_MAX)
        return false;
    if (++cpu->told == HR_EVENTS_PER_TICK_MAX)
        cpu->silent = tick;
    return true;
}

/* Whether an event would be lost; then it is counted as such. */
static __always_inline bool hr_told_enough(struct hr_cpu *cpu, u32 tick) {
    if (cpu->silent != tick)
        return false;
    cpu->lost++;
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
