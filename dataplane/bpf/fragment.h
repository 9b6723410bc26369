/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments follow the verdict on their first fragment, or are dropped. */
#ifndef HR_FRAGMENT_H
#define HR_FRAGMENT_H

static __always_inline void hr_fragment_key_of(struct hr_fragment_key *key, const struct hr_packet *p) {
    key->src_hi = p->src_hi;
    key->src_lo = p->src_lo;
    key->dst_hi = p->dst_hi;
    key->dst_lo = p->dst_lo;
    key->id = p->frag_id;
    /* RFC 8200, 4.5: the identification of IPv6 is that of the addresses alone; the next header of later fragments may
     * differ. */
    key->protocol = p->v6 ? 0x100 : p->protocol;
}

__noinline int hr_fragment_remember(const struct hr_packet *p, u32 generation, bool pass, bool sync) {
    struct hr_fragment_key key = {};
    struct hr_fragment fragment = {.seen = hr_tick(), .generation = generation, .pass = pass};

    if (!p)
        return 0;
    fragment.first_len = p->payload;
    hr_fragment_key_of(&key, p);
    if (sync)
        return bpf_map_update_elem(&hr_sync_fragments, &key, &fragment, BPF_ANY);
    return bpf_map_update_elem(&hr_fragments, &key, &fragment, BPF_ANY);
}

__noinline u32 hr_fragment_follow(const struct hr_packet *p, bool sync) {
    struct hr_fragment_key key = {};
    struct hr_fragment *first;
    const struct hr_timeouts *t = HR_VALUE(HR_TIMEOUTS);

    if (!p)
        return HR_FRAGMENT_UNKNOWN;
    hr_fragment_key_of(&key, p);
    if (sync)
        first = bpf_map_lookup_elem(&hr_sync_fragments, &key);
    else
        first = bpf_map_lookup_elem(&hr_fragments, &key);
    if (!first || hr_tick() - first->seen > t->fragment)
        return HR_FRAGMENT_UNKNOWN;
    if (p->frag_start < first->first_len)
        return HR_FRAGMENT_OVERLAP;
    return first->pass ? HR_FRAGMENT_FOLLOWS : HR_FRAGMENT_DENIED;
}

#endif
