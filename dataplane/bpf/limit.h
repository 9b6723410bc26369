/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits of rules. A token bucket is one number, the instant at which it is full again (the theoretical arrival time of
 * the generic cell rate algorithm, ITU-T I.371, annex A), so that a compare-and-swap charges it and no two processors
 * can take the same token.
 */
#ifndef HR_LIMIT_H
#define HR_LIMIT_H

/* So often the number may have been changed by others in between; then they have taken the allowance, and the packet
 * is refused. */
#define HR_CHARGE_TRIES_MAX 16

/* What one packet asks of its buckets. */
struct hr_charge {
    u64 src_hi, src_lo;
    u64 now_ns;
    u32 generation;
    u32 packets; /* segments of a large one */
    u8 begins;   /* a connection or flow */
    u8 trial;
    u8 take; /* 0: only look */
};

/*
 * Takes n tokens, or only looks whether they are there. A frame of more segments than the bucket holds could never
 * pass: it takes a full bucket, and what is missing is owed by those that come after.
 */
static __always_inline bool hr_take(u64 *full_at, u64 now_ns, const u32 *limit, u32 n, bool take) {
    u64 interval_ns = limit[0], burst = limit[1], from, seen;
    u64 free_ns = (burst - (n < burst ? n : burst)) * interval_ns;
    u64 known = *(volatile u64 *)full_at;
    int tries;

    for (tries = 0; tries < HR_CHARGE_TRIES_MAX; tries++) {
        from = known > now_ns ? known : now_ns;
        if (from - now_ns > free_ns)
            return false;
        if (!take)
            return true;
        seen = __sync_val_compare_and_swap(full_at, known, from + n * interval_ns);
        if (seen == known)
            return true;
        known = seen;
    }
    return false;
}

/* Of a rule, or of a source: both its limits. An interval of 0 is none. */
static __always_inline bool hr_take_both(const struct hr_charge *c, struct hr_bucket *bucket, const u32 *limit) {
    u32 which = c->trial & 1;

    if (limit[0] && !hr_take(&bucket->packets[which], c->now_ns, limit, c->packets, c->take))
        return false;
    return !limit[2] || !c->begins || hr_take(&bucket->connections[which], c->now_ns, limit + 2, 1, c->take);
}

/* A source that is not known, or was forgotten, has full buckets. */
static __always_inline bool hr_take_of_source(const struct hr_charge *c, const u32 *limit) {
    struct hr_source_key key = {
        .id = limit[0] | (u64)limit[1] << 32,
        .src_hi = c->src_hi,
        .src_lo = c->src_lo,
    };
    struct hr_bucket *bucket = bpf_map_lookup_elem(&hr_sources, &key);

    if (!bucket) {
        if (!c->take)
            return true;
        bpf_map_update_elem(&hr_sources, &key, &hr_this_cpu()->full, BPF_NOEXIST);
        bucket = bpf_map_lookup_elem(&hr_sources, &key);
    }
    return bucket && hr_take_both(c, bucket, limit + HR_LIMIT_SOURCE);
}

/* The limits of one rule: what its source may send, then what all of them may. Called from eight places, and the
 * verifier goes through it once. */
__noinline int hr_take_of_rule(const struct hr_charge *c, u32 index) {
    struct hr_buckets *buckets = HR_VALUE(HR_BUCKETS);
    struct hr_half half;
    u32 *limit;

    if (!c)
        return 0;
    half = hr_half_of(c->generation);
    limit = HR_ELEMENT(half.image, LIMITS, index, HR_LIMIT_BYTES);
    if (limit[HR_LIMIT_SOURCE] | limit[HR_LIMIT_SOURCE + 2] && !hr_take_of_source(c, limit))
        return 0;
    return hr_take_both(c, &buckets[HR_CUT(index, HR_LIMITS_MASK)].half[half.slot & 1], limit + HR_LIMIT_RULE);
}

/* Where the trial's rule is the enforced one, it has been charged. */
static __always_inline bool hr_side_within(const struct hr_charge *c, const struct hr_side *side) {
    if (!c->trial)
        return !(side->flags & HR_FLAG_LIMIT) || hr_take_of_rule(c, side->limit);
    if (!(side->flags & HR_FLAG_TRIAL_LIMIT) || (side->flags & HR_FLAG_LIMIT && side->limit == side->trial_limit))
        return true;
    return hr_take_of_rule(c, side->trial_limit);
}

/*
 * Both directions must have room. All buckets are looked at before the first one is charged, so that who is refused by
 * one has taken nothing from the others; unless another processor takes the last token in between.
 */
static __always_inline bool hr_within(struct hr_charge *c, const struct hr_found *found) {
    c->take = 0;
    if (!hr_side_within(c, &found->in) || !hr_side_within(c, &found->out))
        return false;
    c->take = 1;
    return hr_side_within(c, &found->in) && hr_side_within(c, &found->out);
}

/* Whether a packet begins a connection or flow that a limit counts. Of TCP its flags say so; else there is no entry
 * yet, or one that says that a limit which only observes has not counted it. What a later fragment is part of has
 * begun. */
static __noinline int hr_begins(struct hr_way *way, const struct hr_packet *p, const struct hr_found *found) {
    u32 tick = hr_tick();
    struct hr_flow *flow;

    if (p->frag == HR_FRAG_LATER || !hr_counts_flows(way->generation, found))
        return false;
    if (p->protocol == HR_TCP)
        return hr_bare_syn(p);
    if (p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP) && (p->answer || !p->question))
        return false;
    flow = hr_flow_find(p);
    if (!flow || !hr_alive(flow, p, tick))
        return true;
    way->over = flow->over;
    if (flow->mute)
        hr_note(flow, p, flow->opener_is_b != hr_source_is_b(p), tick);
    return false;
}

/* A limit that only observes has counted the flow at last. */
static __noinline int hr_counted(const struct hr_packet *p) {
    struct hr_flow *flow = hr_flow_find(p);

    if (flow)
        flow->over = 0;
    return 0;
}

/*
 * Charges a packet that classification allows: HR_RATE_LIMITED, HR_OBSERVED, or HR_NONE. The clock is the exact one: by
 * the coarse one a bucket would get its tokens once in a jiffy, and one of a few tokens would let far less pass than
 * its rate.
 */
static __noinline u32 hr_charge(const struct hr_way *way, const struct hr_packet *p, const struct hr_found *found,
                                u32 packets) {
    struct hr_charge c = {.packets = packets};

    c.now_ns = bpf_ktime_get_ns();
    c.src_hi = p->src_hi;
    c.src_lo = p->src_lo;
    c.generation = way->generation;
    c.begins = way->begins;
    if (!hr_within(&c, found))
        return HR_RATE_LIMITED;
    c.trial = 1;
    c.begins |= way->over;
    return hr_allows_trial(found) && !hr_within(&c, found) ? HR_OBSERVED : HR_NONE;
}

/*
 * A packet is charged where this node first meets it: what leaves was charged when it arrived, unless it was sent from
 * here or came through a device where nothing is judged; and what has a tag is charged at the device of its VLAN.
 */
static __always_inline bool hr_charged_elsewhere(const struct hr_packet *p, u32 came_in) {
    if (p->vid && hr_guarded_device(p))
        return true;
    return came_in && bpf_map_lookup_elem(&hr_judged, &came_in);
}

/* HR_RATE_LIMITED; HR_OBSERVED: over a limit that only observes; HR_NONE: within its limits, or not charged here. */
__noinline u32 hr_ask_limits(struct hr_way *way, const struct hr_packet *p, const struct hr_found *found, u32 packets,
                             u32 came_in) {
    u32 reason;

    if (!way || !p || !found || !hr_allows(found) || hr_charged_elsewhere(p, came_in))
        return HR_NONE;
    way->begins = hr_begins(way, p, found);
    reason = hr_charge(way, p, found, packets);
    if (way->over && !reason)
        hr_counted(p);
    way->fresh = way->begins && reason != HR_RATE_LIMITED && p->protocol != HR_TCP;
    way->over = reason == HR_OBSERVED && (way->fresh || way->over);
    return reason;
}

#endif
