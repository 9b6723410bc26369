/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Later fragments are dropped, unless their first one passed: then they are judged as what that one said of the
 * datagram. So limits and a tightened policy hold for them too.
 */
#ifndef HR_FRAGMENT_H
#define HR_FRAGMENT_H

/* A sync flow is one at its device and in its direction: so are its fragments (G0). */
static __always_inline void hr_fragment_key_of(struct hr_fragment_key *key, const struct hr_packet *p, u8 hook,
                                               bool sync) {
    key->src_hi = p->src_hi;
    key->src_lo = p->src_lo;
    key->dst_hi = p->dst_hi;
    key->dst_lo = p->dst_lo;
    key->id = p->frag_id;
    /* RFC 8200, 4.5: the identification of IPv6 is that of the addresses alone; the next header of later fragments may
     * differ. */
    key->protocol = p->v6 ? 0x100 : p->protocol;
    if (sync) {
        key->device = hr_guarded_device(p);
        key->hook = hook;
    }
}

static __always_inline struct hr_fragment hr_fragment_of(const struct hr_packet *p, bool pass) {
    return (struct hr_fragment){
        .seen = hr_tick(),
        .end = p->frag_edge,
        .sport = p->sport,
        .dport = p->dport,
        .echo_id = p->echo_id,
        .protocol = p->protocol,
        .flags = p->flags,
        .pass = pass,
    };
}

__noinline int hr_fragment_remember(const struct hr_packet *p, u8 hook, bool pass, bool sync) {
    struct hr_fragment fragment;
    struct hr_fragment_key key = {};
    struct hr_fragment *first;

    if (!p)
        return 0;
    fragment = hr_fragment_of(p, pass);
    hr_fragment_key_of(&key, p, hook, sync);
    if (sync)
        return bpf_map_update_elem(&hr_sync_fragments, &key, &fragment, BPF_ANY);
    if (pass)
        return bpf_map_update_elem(&hr_fragments, &key, &fragment, BPF_ANY);
    /* A flood of refused ones must not push out others. In place: an update takes a free entry before it looks whether
     * there is one to update. */
    first = bpf_map_lookup_elem(&hr_fragments, &key);
    if (first) {
        first->pass = 0;
        first->seen = fragment.seen;
    }
    return 0;
}

/* What a later fragment does not say itself. */
static __always_inline void hr_fragment_complete(struct hr_packet *p, const struct hr_fragment *first) {
    p->sport = first->sport;
    p->dport = first->dport;
    p->echo_id = first->echo_id;
    p->protocol = first->protocol;
    p->flags = first->flags;
    if (p->protocol == (p->v6 ? HR_ICMP6 : HR_ICMP))
        hr_icmp_pair(p, p->dport >> 8);
}

/* HR_NONE: the first one passed, and what it said is known of this one now. Otherwise the reason to drop it. */
__noinline u32 hr_fragment_follow(struct hr_packet *p, u8 hook, bool sync) {
    struct hr_fragment_key key = {};
    struct hr_fragment *first;
    const struct hr_timeouts *t = HR_VALUE(HR_TIMEOUTS);

    if (!p)
        return HR_FRAGMENT_UNKNOWN;
    hr_fragment_key_of(&key, p, hook, sync);
    if (sync)
        first = bpf_map_lookup_elem(&hr_sync_fragments, &key);
    else
        first = bpf_map_lookup_elem(&hr_fragments, &key);
    if (!first || !hr_recent(first->seen, hr_tick(), t->fragment))
        return HR_FRAGMENT_UNKNOWN;
    if (p->frag_edge < first->end)
        return HR_FRAGMENT_OVERLAP;
    if (!first->pass)
        return HR_FRAGMENT_DENIED;
    hr_fragment_complete(p, first);
    return HR_NONE;
}

#endif
