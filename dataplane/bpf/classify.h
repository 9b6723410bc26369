/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Classification by equivalence classes (Gupta and McKeown, SIGCOMM 1999): the same look-ups, step for step, as
 * policy/src/image/lookup.rs. The cost does not depend on the number of rules.
 */
#ifndef HR_CLASSIFY_H
#define HR_CLASSIFY_H

#define HR_BROKEN 0xfffffffeu

/* The half of the image that a packet reads, and its half of the chunks and counters. */
struct hr_half {
    u32 *image;
    u32 slot;
};

struct hr_found {
    u32 in_flags, out_flags;
    u32 in_rule, out_rule;
    u32 in_trial, out_trial;
    u32 in_limit, out_limit;
    u32 broken;
};

/* The tuple that is classified: that of the packet, the reversed one, or a quoted one. */
struct hr_tuple {
    u64 src_hi, src_lo;
    u64 dst_hi, dst_lo;
    u16 dport;
    u8 protocol;
    u8 v6;
};

/* Element `index` of a table, `width` words each; NULL beyond its end. The barrier keeps the index that was checked. */
#define HR_ELEMENT(half, table, index, width)                                                                                      \
    ({                                                                                                                             \
        u32 hr_at = (index);                                                                                                       \
        barrier_var(hr_at);                                                                                                        \
        hr_at < hr_layout.table##_len / (width) ? (half)->image + hr_layout.table + (u64)hr_at * (width) : NULL;                   \
    })

static __always_inline u32 hr_chunk_entry(const struct hr_half *half, u32 chunk, u32 byte)
{
    u32 key = half->slot * hr_layout.chunks + chunk;
    struct hr_chunk *found = bpf_map_lookup_elem(&hr_chunks, &key);

    return found ? found->entry[byte & 255] : HR_BROKEN & ~HR_ENTRY_BRANCH;
}

static __always_inline u32 hr_class4(const struct hr_half *half, u32 addr)
{
    u32 entry = half->image[hr_layout.root4 + (addr >> 16)];
    u32 rest = addr << 16;
    int i;

#pragma unroll
    for (i = 0; i < HR_STEPS_V4_MAX; i++) {
        u32 *skip, bits;

        if (!(entry & HR_ENTRY_BRANCH))
            return entry;
        if (!(entry & HR_ENTRY_SKIP)) {
            entry = hr_chunk_entry(half, entry & HR_ENTRY_INDEX, rest >> 24);
            rest <<= 8;
            continue;
        }
        skip = HR_ELEMENT(half, skips, entry & HR_ENTRY_INDEX, 8);
        if (!skip)
            return HR_INDEX_NONE;
        bits = skip[4];
        if ((addr ^ skip[0]) >> ((32 - bits) & 31)) {
            entry = skip[6];
        } else {
            entry = skip[5];
            rest = bits < 32 ? addr << (bits & 31) : 0;
        }
    }
    return entry & HR_ENTRY_BRANCH ? HR_INDEX_NONE : entry;
}

static __always_inline bool hr_half_of(struct hr_half *half, u32 slot)
{
    half->slot = slot & 1;
    half->image = bpf_map_lookup_elem(&hr_image, &half->slot);
    return half->image;
}

/* Not static: the verifier then looks at it once, and not once for each way that leads here. */
__noinline u32 hr_class6(u32 slot, u64 hi, u64 lo)
{
    struct hr_half at, *half = &at;
    u32 entry, depth = 16;
    int i;

    if (!hr_half_of(half, slot))
        return HR_INDEX_NONE;
    entry = half->image[hr_layout.root6 + (hi >> 48)];

    for (i = 0; i < HR_STEPS_V6_MAX; i++) {
        u32 *skip, bits;
        u64 differ;

        if (!(entry & HR_ENTRY_BRANCH))
            return entry;
        if (!(entry & HR_ENTRY_SKIP)) {
            u64 word = depth < 64 ? hi << (depth & 63) : lo << (depth & 63);

            entry = hr_chunk_entry(half, entry & HR_ENTRY_INDEX, word >> 56);
            depth += 8;
            continue;
        }
        skip = HR_ELEMENT(half, skips, entry & HR_ENTRY_INDEX, 8);
        if (!skip)
            return HR_INDEX_NONE;
        bits = skip[4];
        differ = hi ^ ((u64)skip[0] << 32 | skip[1]);
        if (bits < 64) {
            differ >>= (64 - bits) & 63;
        } else if (!differ && bits > 64) {
            differ = (lo ^ ((u64)skip[2] << 32 | skip[3])) >> ((128 - bits) & 63);
        }
        if (differ) {
            entry = skip[6];
        } else {
            entry = skip[5];
            depth = bits;
        }
    }
    return entry & HR_ENTRY_BRANCH ? HR_INDEX_NONE : entry;
}

static __always_inline u32 hr_port_index(u8 protocol, u16 port)
{
    switch (protocol) {
    case HR_TCP:
        return port;
    case HR_UDP:
        return HR_PORT_BLOCK + port;
    case HR_SCTP:
        return 2 * HR_PORT_BLOCK + port;
    case HR_ICMP:
        return 3 * HR_PORT_BLOCK + port;
    case HR_ICMP6:
        return 4 * HR_PORT_BLOCK + port;
    default:
        return HR_PORT_BLOCKS * HR_PORT_BLOCK + protocol;
    }
}

/* The verdict of one direction: the subject's row and cells, the peer's column and group. NULL: a table is broken. */
static __always_inline u32 *hr_verdict(const struct hr_half *half, u32 row, u32 cells, u32 col, u32 group, u32 port)
{
    u32 *element, pair, verdict = HR_INDEX_NONE;

    if (row == HR_INDEX_NONE)
        return HR_ELEMENT(half, verdicts, 0, 4);
    pair = HR_INDEX_NONE;
    if (cells != HR_INDEX_NONE) {
        element = HR_ELEMENT(half, cells, cells + col, 2);
        if (element && element[0] == cells)
            pair = element[1];
    }
    if (pair == HR_INDEX_NONE) {
        element = HR_ELEMENT(half, base, row + group, 1);
        if (!element)
            return NULL;
        pair = element[0];
    }
    element = HR_ELEMENT(half, pairs, pair, 2);
    if (!element)
        return NULL;
    row = element[1];
    cells = element[0];
    if (cells != HR_INDEX_NONE) {
        element = HR_ELEMENT(half, vcells, cells + (port & 0xffff), 2);
        if (element && element[0] == pair)
            verdict = element[1];
    }
    if (verdict == HR_INDEX_NONE) {
        element = HR_ELEMENT(half, vbase, row + (port >> 16), 1);
        if (!element)
            return NULL;
        verdict = element[0];
    }
    return HR_ELEMENT(half, verdicts, verdict, 4);
}

static __always_inline void hr_classify_inline(const struct hr_half *half, const struct hr_tuple *t, struct hr_found *found)
{
    u32 src, dst, port, *s, *d, *p, *in, *out;

    if (t->v6) {
        src = hr_class6(half->slot, t->src_hi, t->src_lo);
        dst = hr_class6(half->slot, t->dst_hi, t->dst_lo);
    } else {
        src = hr_class4(half, t->src_lo);
        dst = hr_class4(half, t->dst_lo);
    }
    s = HR_ELEMENT(half, classes, src, 8);
    d = HR_ELEMENT(half, classes, dst, 8);
    p = HR_ELEMENT(half, ports, hr_port_index(t->protocol, t->dport), 1);
    if (!s || !d || !p) {
        found->broken = 1;
        return;
    }
    port = *p;
    in = hr_verdict(half, d[0], d[1], s[2], s[3], port);
    out = hr_verdict(half, s[4], s[5], d[6], d[7], port);
    if (!in || !out) {
        found->broken = 1;
        return;
    }
    found->in_flags = in[0];
    found->in_rule = in[1];
    found->in_limit = in[2];
    found->in_trial = in[3];
    found->out_flags = out[0];
    found->out_rule = out[1];
    found->out_limit = out[2];
    found->out_trial = out[3];
    found->broken = 0;
}

/* For the reversed and the quoted tuple. */
__noinline int hr_classify(u32 slot, const struct hr_tuple *t, struct hr_found *found)
{
    struct hr_half half;

    if (!t || !found)
        return 0;
    found->broken = 1;
    if (hr_half_of(&half, slot))
        hr_classify_inline(&half, t, found);
    return 0;
}

static __always_inline bool hr_allows(const struct hr_found *found)
{
    return !found->broken && found->in_flags & found->out_flags & HR_FLAG_ALLOW;
}

/* Allows also with every policy in observe mode enforced. */
static __always_inline bool hr_allows_trial(const struct hr_found *found)
{
    return !found->broken && found->in_flags & found->out_flags & HR_FLAG_TRIAL_ALLOW;
}

static __always_inline bool hr_keeps(const struct hr_found *found)
{
    u32 either = found->in_flags | found->out_flags;

    return hr_allows(found) && either & HR_FLAG_KEEP && !(either & HR_FLAG_CUT);
}

static __always_inline void hr_tuple_of(struct hr_tuple *t, const struct hr_packet *p)
{
    t->src_hi = p->src_hi;
    t->src_lo = p->src_lo;
    t->dst_hi = p->dst_hi;
    t->dst_lo = p->dst_lo;
    t->dport = p->dport;
    t->protocol = p->protocol;
    t->v6 = p->v6;
}

/* The tuple of a packet that goes the other way in the same conversation. */
static __always_inline void hr_tuple_reversed(struct hr_tuple *t, const struct hr_packet *p)
{
    t->src_hi = p->dst_hi;
    t->src_lo = p->dst_lo;
    t->dst_hi = p->src_hi;
    t->dst_lo = p->src_lo;
    t->protocol = p->protocol;
    t->v6 = p->v6;
    t->dport = p->sport;
    if (p->protocol == HR_ICMP || p->protocol == HR_ICMP6) {
        u8 type = p->dport >> 8, question = p->question;

        if (question && !p->answer)
            type = p->v6 || question != 8 ? question + 1 : 0;
        else if (question)
            type = question;
        t->dport = (u16)type << 8 | (p->dport & 0xff);
    }
}

#endif
