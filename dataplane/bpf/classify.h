/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Classification by equivalence classes (Gupta and McKeown, SIGCOMM 1999): the same look-ups, step for step, as
 * policy/src/image/lookup.rs. The cost does not depend on the number of rules.
 */
#ifndef HR_CLASSIFY_H
#define HR_CLASSIFY_H

/* The half of the image that a packet reads, and its half of the chunks and counters: those of its generation. */
struct hr_half {
    u32 *image;
    u32 slot;
};

/* What one direction says. */
struct hr_side {
    u32 flags;
    u32 rule;
    u32 trial; /* the rule that would decide if observing policies were enforced */
    u16 limit; /* of the rule; the flags say whether there is one */
    u16 trial_limit;
};

struct hr_found {
    struct hr_side in;  /* the destination's ingress */
    struct hr_side out; /* the source's egress */
};

/* Element `index` of a table with as many elements as there can be indices. */
#define HR_ENTRY(image, at, index) ((u32 *)HR_BEHIND(image, HR_TABLE_OFFSET(at, (u32)((index)*4))))

/* Where element `index` of a table is in an image, `bytes` each. */
#define HR_OFFSET(table, index, bytes)                                                                                 \
    HR_TABLE_OFFSET(HR_##table##_AT, (u32)(HR_CUT(index, HR_##table##_MASK) * (bytes)))

/* That element. */
#define HR_ELEMENT(image, table, index, bytes) ((u32 *)HR_BEHIND(image, HR_OFFSET(table, index, bytes)))

/* The element at a place: so many bytes from where its table begins. */
#define HR_AT(image, table, place)                                                                                     \
    ((u32 *)HR_BEHIND(image, HR_TABLE_OFFSET(HR_##table##_AT, HR_CUT(place, HR_##table##_MASK))))

/* The trie entry of a byte in a chunk. */
static __always_inline u32 hr_chunk_entry(const struct hr_half *half, u32 chunk, u32 byte) {
    struct hr_chunk *found;
    u32 key;

    if (HR_SET(HR_CHUNKS_INSIDE))
        return HR_ELEMENT(half->image, CHUNKS, chunk, 1024)[byte & 255];
    key = half->slot * (HR_SET(HR_CHUNKS_MASK) + 1) + chunk;
    found = bpf_map_lookup_elem(&hr_chunks, &key);
    return found ? found->entry[byte & 255] : HR_INDEX_NONE;
}

/* The entry of the root for the first 16 bits of an address, as they lie in a packet. */
static __always_inline u32 hr_root4(const struct hr_half *half, u16 wire) {
    return *(u32 *)HR_BEHIND(half->image, (u32)wire * 4);
}

/* The place of the class, from an entry of the root on. */
static __always_inline u32 hr_below4(const struct hr_half *half, u32 entry, u32 addr) {
    u32 rest = addr << 16;
    int i;

#pragma unroll
    for (i = 0; i < HR_STEPS_V4_MAX; i++) {
        u32 *skip, index = entry & HR_ENTRY_INDEX, bits;

        if (!(entry & HR_ENTRY_BRANCH))
            return entry;
        if (!(entry & HR_ENTRY_SKIP)) {
            entry = hr_chunk_entry(half, index, rest >> 24);
            rest <<= 8;
            continue;
        }
        skip = HR_ELEMENT(half->image, SKIPS, index, 32);
        bits = skip[4];
        if ((addr ^ skip[0]) >> ((32 - bits) & 31)) {
            entry = skip[6];
        } else {
            entry = skip[5];
            if (HR_LIKELY(!(entry & HR_ENTRY_BRANCH)))
                return entry;
            /* Nothing is below 32 bits. */
            rest = addr << (bits & 31);
        }
    }
    return entry & HR_ENTRY_BRANCH ? HR_INDEX_NONE : entry;
}

static __always_inline u32 hr_class4(const struct hr_half *half, u32 addr) {
    return hr_below4(half, hr_root4(half, bpf_htons(addr >> 16)), addr);
}

/* The same for an address as it lies in a packet, which is read again only if the root does not say it all. */
static __always_inline u32 hr_class4_wire(const struct hr_half *half, const void *wire) {
    u32 entry = hr_root4(half, *(const volatile u16 *)wire);

    if (HR_LIKELY(!(entry & HR_ENTRY_BRANCH)))
        return entry;
    return hr_below4(half, entry, bpf_ntohl(*(const volatile u32 *)wire));
}

static __always_inline struct hr_half hr_half_of(u32 generation) {
    u32 slot = generation & 1;

    return (struct hr_half){.image = slot ? HR_VALUE(HR_IMAGE_ODD) : HR_VALUE(HR_IMAGE_EVEN), .slot = slot};
}

/* Not static: the verifier then looks at it once, and not once for each way that leads here. */
__noinline u32 hr_class6(u32 slot, u64 hi, u64 lo) {
    struct hr_half at = hr_half_of(slot), *half = &at;
    u32 entry, depth = 16;
    int i;

    entry = *HR_ENTRY(half->image, HR_ROOT6_AT, (u32)(hi >> 48));

    for (i = 0; i < HR_STEPS_V6_MAX; i++) {
        u32 *skip, index = entry & HR_ENTRY_INDEX, bits;
        u64 differ;

        if (!(entry & HR_ENTRY_BRANCH))
            return entry;
        if (!(entry & HR_ENTRY_SKIP)) {
            u64 word = depth < 64 ? hi << (depth & 63) : lo << (depth & 63);

            entry = hr_chunk_entry(half, index, word >> 56);
            depth += 8;
            continue;
        }
        /* Added by the compiler: with HR_BEHIND the verifier needs twice as long for this loop. */
        skip = (void *)half->image + HR_OFFSET(SKIPS, index, 32);
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

static __always_inline u32 hr_port_index(u8 protocol, u16 port) {
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

/* The exception at cells + column of a table, if it belongs to those cells; HR_INDEX_NONE: there is none. */
#define HR_EXCEPTION(image, table, cells, column)                                                                      \
    ({                                                                                                                 \
        u32 hr_owner = (cells), hr_value = HR_INDEX_NONE;                                                              \
        if (HR_UNLIKELY(hr_owner != HR_INDEX_NONE)) {                                                                  \
            u32 *hr_cell = HR_ELEMENT(image, table, hr_owner + (column), 8);                                           \
            if (hr_cell[0] == hr_owner)                                                                                \
                hr_value = hr_cell[1];                                                                                 \
        }                                                                                                              \
        hr_value;                                                                                                      \
    })

/* The destination port of the tuple of a packet that goes the other way in the same conversation. */
static __always_inline u16 hr_reversed_port(const struct hr_packet *p) {
    u8 type = p->dport >> 8;

    if (p->protocol != HR_ICMP && p->protocol != HR_ICMP6)
        return p->sport;
    if (p->question && p->answer)
        type = p->question;
    else if (p->question)
        type = p->v6 || type != 8 ? type + 1 : 0;
    return (u16)type << 8 | (p->dport & 0xff);
}

/* The port by which a packet is judged: class and group of it where they are known, or else where it lies in a packet
 * of TCP or UDP; many verdicts do not depend on it. */
struct hr_port {
    const u32 *known;
    const u16 *wire;
    const u8 *protocol;
};

/* Cut by hand: Linux 6.1 does not know that what was swapped is small, and the compiler, which knows, would leave it
 * out. */
static __always_inline u16 hr_wire_port(const u16 *wire) {
    u32 swapped = bpf_ntohs(*wire);

    barrier_var(swapped);
    return swapped;
}

/* Class and group of a port. */
static __always_inline u32 hr_port_word(u32 *image, const struct hr_port *port) {
    u32 block;

    if (port->known)
        return *port->known;
    /* hr_port_index without a branch: of these two numbers that of UDP is odd. The barrier keeps the compiler from an
     * or in place of the sum, of which Linux 6.1 knows no bound. */
    block = (*(const volatile u8 *)port->protocol & 1) * HR_PORT_BLOCK;
    barrier_var(block);
    return *HR_ENTRY(image, HR_PORTS_AT, block + hr_wire_port(port->wire));
}

/* The verdict of one layer that has a say. */
static __always_inline u32 *hr_layer(u32 *image, const u32 *subject, const u32 *peer, const struct hr_port *at) {
    u32 index = subject[0], port, *pair;

    if (HR_LIKELY(index & HR_VERDICT_ONLY))
        return HR_AT(image, VERDICTS, index);
    index = HR_EXCEPTION(image, CELLS, subject[1], peer[2]);
    if (index == HR_INDEX_NONE)
        index = *HR_ELEMENT(image, BASE, subject[0] + peer[3], 4);
    if (HR_LIKELY(index & HR_VERDICT_ONLY))
        return HR_AT(image, VERDICTS, index);
    pair = HR_AT(image, PAIRS, index);
    port = hr_port_word(image, at);
    index = HR_EXCEPTION(image, VCELLS, pair[0], port & 0xffff);
    if (index == HR_INDEX_NONE)
        index = HR_EXCEPTION(image, VCELLS, pair[1], port & 0xffff);
    if (index == HR_INDEX_NONE)
        index = *HR_ELEMENT(image, VBASE, pair[2] + (port >> 16), 4);
    return HR_AT(image, VERDICTS, index);
}

/* A verdict that decides everything. */
static __always_inline void hr_settle(struct hr_side *side, const u32 *verdict) {
    side->flags = verdict[0];
    side->rule = verdict[1];
    side->limit = verdict[2];
    side->trial_limit = verdict[2] >> HR_LIMIT_TRIAL_SHIFT;
    side->trial = verdict[3];
}

/* Of a verdict what is not decided yet. */
static __always_inline void hr_settle_rest(struct hr_side *side, const u32 *verdict, u32 done) {
    u32 fresh = verdict[0] & ~done;

    if (fresh & HR_FLAG_DECIDED) {
        side->flags |= verdict[0] & HR_FLAGS_ENFORCED;
        side->rule = verdict[1];
        side->limit = verdict[2];
    }
    if (fresh & HR_FLAG_TRIAL_DECIDED) {
        side->flags |= verdict[0] & HR_FLAGS_TRIAL;
        side->trial_limit = verdict[2] >> HR_LIMIT_TRIAL_SHIFT;
        side->trial = verdict[3];
    }
}

/* One direction: the first layer that decides, for the enforced policies and for the trial. The last one always does.
 */
static __always_inline void hr_judge_side(u32 *image, const u32 *subject, const u32 *peer, const struct hr_port *port,
                                          struct hr_side *side) {
    u32 *verdict, done = 0;

    if (HR_UNLIKELY(subject[0] != HR_INDEX_NONE)) {
        verdict = hr_layer(image, subject, peer, port);
        done = verdict[0] & HR_FLAGS_DECIDED;
        if (done == HR_FLAGS_DECIDED) {
            hr_settle(side, verdict);
            return;
        }
    }
    if (HR_LIKELY(!done)) {
        hr_settle(side, hr_layer(image, subject + HR_PART_WORDS, peer + HR_PART_WORDS, port));
        return;
    }
    side->flags = 0;
    hr_settle_rest(side, verdict, 0);
    hr_settle_rest(side, hr_layer(image, subject + HR_PART_WORDS, peer + HR_PART_WORDS, port), done);
}

/* What both ends are, by their classes. */
struct hr_ends {
    u32 *src, *dst;
};

static __always_inline struct hr_ends hr_ends_of_classes(const struct hr_half *half, u32 src, u32 dst) {
    return (struct hr_ends){
        .src = HR_AT(half->image, CLASSES, src),
        .dst = HR_AT(half->image, CLASSES, dst),
    };
}

static __always_inline struct hr_ends hr_ends_of(const struct hr_half *half, const struct hr_packet *p) {
    if (!p->v6)
        return hr_ends_of_classes(half, hr_class4(half, p->src_lo), hr_class4(half, p->dst_lo));
    return hr_ends_of_classes(half, hr_class6(half->slot, p->src_hi, p->src_lo),
                              hr_class6(half->slot, p->dst_hi, p->dst_lo));
}

/* Classifies a packet between these ends, or one that goes the other way. */
static __always_inline void hr_classify_ends(const struct hr_half *half, const struct hr_ends *ends, bool reversed,
                                             const struct hr_port *port, struct hr_found *found) {
    u32 *s = reversed ? ends->dst : ends->src, *d = reversed ? ends->src : ends->dst;

    hr_judge_side(half->image, d, s, port, &found->in);
    hr_judge_side(half->image, s + HR_SIDE_WORDS, d + HR_SIDE_WORDS, port, &found->out);
}

/* Classifies the tuple of a packet, or the reversed one. The port is read at once: then the verifier no longer sees
 * which protocol it is of, and goes on once for all of them. */
static __always_inline void hr_classify_inline(const struct hr_half *half, const struct hr_packet *p, bool reversed,
                                               struct hr_found *found) {
    struct hr_ends ends = hr_ends_of(half, p);
    u32 index = hr_port_index(p->protocol, reversed ? hr_reversed_port(p) : p->dport);
    u32 word = *HR_ENTRY(half->image, HR_PORTS_AT, index);
    struct hr_port port = {.known = &word};

    hr_classify_ends(half, &ends, reversed, &port, found);
}

/* Called and not inlined: the verifier goes through it once. */
__noinline int hr_classify(u32 generation, const struct hr_packet *p, bool reversed, struct hr_found *found) {
    struct hr_half half = hr_half_of(generation);

    if (p && found)
        hr_classify_inline(&half, p, reversed, found);
    return 0;
}

static __always_inline bool hr_both(const struct hr_found *found, u32 flag) {
    return found->in.flags & found->out.flags & flag;
}

static __always_inline bool hr_either(const struct hr_found *found, u32 flag) {
    return (found->in.flags | found->out.flags) & flag;
}

static __always_inline bool hr_allows(const struct hr_found *found) {
    return hr_both(found, HR_FLAG_ALLOW);
}

/* Allows also with every policy in observe mode enforced. */
static __always_inline bool hr_allows_trial(const struct hr_found *found) {
    return hr_both(found, HR_FLAG_TRIAL_ALLOW);
}

/* Whether a limit is one of new connections, as a whole or for each source. */
static __always_inline bool hr_limit_counts(u32 *image, u32 index) {
    u32 *limit = HR_ELEMENT(image, LIMITS, index, HR_LIMIT_BYTES);

    return limit[HR_LIMIT_RULE + 2] | limit[HR_LIMIT_SOURCE + 2];
}

/* Whether a rule that decides one direction has such a limit. */
static __always_inline bool hr_side_counts(u32 *image, const struct hr_side *side) {
    return (side->flags & HR_FLAG_LIMIT && hr_limit_counts(image, side->limit)) ||
           (side->flags & HR_FLAG_TRIAL_LIMIT && hr_limit_counts(image, side->trial_limit));
}

/* Whether a limit tells new flows from old ones. */
static __always_inline bool hr_counts_flows(u32 generation, const struct hr_found *found) {
    struct hr_half half = hr_half_of(generation);

    return hr_side_counts(half.image, &found->in) || hr_side_counts(half.image, &found->out);
}

static __always_inline bool hr_keeps(const struct hr_found *found) {
    return hr_allows(found) && hr_either(found, HR_FLAG_KEEP) && !hr_either(found, HR_FLAG_CUT);
}

#endif
