/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Later fragments follow the verdict on their first fragment, or are dropped. */
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

__noinline int hr_fragment_remember(const struct hr_packet *p, u32 generation, u8 hook, bool pass, bool sync) {
    struct hr_fragment fragment = {.seen = hr_tick(), .generation = generation, .pass = pass};
    struct hr_fragment_key key = {};
    struct hr_fragment *first;

    if (!p)
        return 0;
    fragment.first_len = p->frag_len;
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

__noinline u32 hr_fragment_follow(const struct hr_packet *p, u8 hook, bool sync) {
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
    if (!first || hr_tick() - first->seen > t->fragment)
        return HR_FRAGMENT_UNKNOWN;
    if (p->frag_start < first->first_len)
        return HR_FRAGMENT_OVERLAP;
    return first->pass ? HR_FRAGMENT_FOLLOWS : HR_FRAGMENT_DENIED;
}

#endif
