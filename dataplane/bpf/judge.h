/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet meets, in order. One function for every hook; what differs is known when it is compiled. */
#ifndef HR_JUDGE_H
#define HR_JUDGE_H

static __always_inline void hr_add(struct hr_count *count, const struct hr_frame *f) {
    count->packets += f->packets;
    count->bytes += f->len;
}

static __always_inline void hr_count_reason(const struct hr_frame *f, u32 reason) {
    u32 cpu = bpf_get_smp_processor_id();
    struct hr_cpu_reasons *reasons = bpf_map_lookup_elem(&hr_reasons, &cpu);

    if (reasons)
        hr_add(&reasons->count[f->hook][reason & (HR_REASONS - 1)], f);
}

static __always_inline void hr_count_rule(const struct hr_frame *f, struct hr_count *rules, u32 rule) {
    hr_add(rules + HR_CUT(rule, HR_RULES_MASK), f);
}

static __always_inline void hr_count_rules(const struct hr_frame *f, u32 slot, const struct hr_found *found) {
    u32 key = bpf_get_smp_processor_id() * 2 + slot;
    struct hr_count *rules = bpf_map_lookup_elem(&hr_rules, &key);

    if (!rules)
        return;
    hr_count_rule(f, rules, found->in.rule);
    if (found->out.rule != found->in.rule)
        hr_count_rule(f, rules, found->out.rule);
}

/* Guard: everything before policy. HR_NONE: policy has to say. */
static __always_inline u32 hr_before_policy(const struct hr_frame *f, const struct hr_packet *p) {
    struct hr_gate *gate;
    u32 zero = 0, reason;

    gate = bpf_map_lookup_elem(&hr_gate, &zero);
    if (!gate)
        return HR_NONE;
    if (!p->problem) {
        if (p->frag == HR_FRAG_LATER)
            reason = hr_fragment_follow(p, f->hook, true) == HR_FRAGMENT_FOLLOWS ? HR_GUARD : HR_NONE;
        else
            reason = hr_ask_guard(gate, p, f->hook, f->probe);
        if (reason) {
            if (p->frag == HR_FRAG_FIRST && !f->probe)
                hr_fragment_remember(p, 0, f->hook, true, true);
            return reason;
        }
    }
    if (f->hook == HR_INGRESS && hr_spoofed(gate, p))
        return HR_SPOOFED;
    return HR_NONE;
}

static __noinline u32 hr_about_quoted(const struct hr_way *way, const struct hr_packet *p, struct hr_found *found,
                                      void *data, void *end) {
    struct hr_packet q = {};

    return hr_quoted(p, &q, data, end) ? hr_judge_quoted(way, &q, found) : HR_NONE;
}

/* A refused packet, or one that passes only because a policy observes. */
static __always_inline u32 hr_second_opinion(const struct hr_frame *f, const struct hr_way *way,
                                             const struct hr_packet *p, struct hr_found *found) {
    return hr_is_error(p) ? hr_about_quoted(way, p, found, f->data, f->end) : hr_ask_state(way, p, found);
}

static __always_inline u32 hr_by_policy(const struct hr_frame *f, const struct hr_half *half, struct hr_way *way,
                                        const struct hr_packet *p, struct hr_found *found) {
    u32 reason;

    hr_classify_inline(half, p, false, found);
    if (hr_either(found, HR_FLAG_BROKEN))
        return HR_BROKEN_TABLE;
    if (hr_allows(found) && hr_allows_trial(found)) {
        if (!f->probe && hr_opens(p, f->hook, hr_keeps(found)))
            hr_remember(way, p, found);
        return HR_ALLOWED;
    }
    way->observed = hr_allows(found);
    reason = hr_second_opinion(f, way, p, found);
    if (!way->observed)
        return reason ? reason : HR_DENIED;
    if (reason && reason < HR_DROP_FIRST)
        return reason;
    if (!f->probe && hr_opens(p, f->hook, hr_keeps(found)))
        hr_remember(way, p, found);
    found->in.rule = found->in.trial;
    found->out.rule = found->out.trial;
    return HR_OBSERVED;
}

/* Whether a packet is worth telling of: refused, observed, or logged; of a TCP flow that is logged its opening. */
static __always_inline bool hr_telling_of(const struct hr_packet *p, const struct hr_found *found, u32 reason) {
    if (reason == HR_OBSERVED || reason >= HR_DROP_FIRST)
        return true;
    return hr_either(found, HR_FLAG_LOG) && (p->protocol != HR_TCP || p->flags & HR_TCP_SYN);
}

/* What guard, fragments and the packet itself say; HR_NONE: policy is asked. */
static __always_inline u32 hr_judge_early(const struct hr_frame *f, const struct hr_way *way,
                                          const struct hr_packet *p) {
    u32 reason = hr_before_policy(f, p);

    if (reason && reason != HR_SPOOFED)
        return reason;
    if (!way->generation)
        return HR_NO_POLICY;
    if (reason)
        return reason;
    if (p->problem)
        return p->problem;
    return p->frag == HR_FRAG_LATER ? hr_fragment_follow(p, f->hook, false) : HR_NONE;
}

/* The reason; below HR_DROP_FIRST the packet passes. `generation` is read once, by the caller. */
static __always_inline u32 hr_judge_at(struct hr_frame *f, u32 generation, struct hr_found *found) {
    struct hr_packet p = {.ifindex = f->ifindex, .vid = f->vid};
    struct hr_way way = {.generation = generation, .slot = generation & 1, .hook = f->hook, .probe = f->probe};
    struct hr_half half;
    u32 reason;

    if (!hr_parse(&p, f))
        return HR_NOT_IP;
    reason = hr_judge_early(f, &way, &p);
    if (!reason) {
        if (!hr_half_of(&half, way.slot))
            return HR_BROKEN_TABLE;
        reason = hr_by_policy(f, &half, &way, &p, found);
        if (!f->probe) {
            hr_count_rules(f, way.slot, found);
            if (p.frag)
                hr_fragment_remember(&p, generation, f->hook, reason < HR_DROP_FIRST, false);
        }
    }
    if (!f->probe && hr_telling_of(&p, found, reason))
        hr_tell(&p, &way, found, reason, f->len);
    return reason;
}

static __always_inline u32 hr_judge(struct hr_frame *f) {
    struct hr_found found = {};
    u32 zero = 0, reason;
    struct hr_live *live = bpf_map_lookup_elem(&hr_live, &zero);

    if (!live)
        return HR_NO_POLICY;
    if (live->disarmed)
        reason = HR_DISARMED;
    else
        reason = hr_judge_at(f, *(volatile u32 *)&live->generation, &found);
    hr_count_reason(f, reason);
    return reason;
}

/* The same code on the half and the interface that userspace asks about; leaves nothing behind but the answer. */
static __always_inline u32 hr_ask(struct hr_frame *f) {
    struct hr_found found = {};
    u32 zero = 0;
    struct hr_probe *probe = bpf_map_lookup_elem(&hr_probe, &zero);

    if (!probe)
        return HR_NONE;
    f->ifindex = probe->ifindex;
    probe->reason = hr_judge_at(f, probe->generation, &found);
    probe->in_rule = found.in.rule;
    probe->out_rule = found.out.rule;
    probe->flags = found.in.flags << 8 | found.out.flags;
    return probe->reason;
}

#endif
