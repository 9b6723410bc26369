/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that are never attached: classification in bulk, which the test of the three evaluators runs, and floors and
 * references for `cargo xtask bench datapath`. They read the same maps as the live programs, with the same headers.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "consts.h"
#include "reasons.h"
#include "structs.h"
#include "settings.h"
#include "maps.h"
#include "frame.h"
#include "packet.h"
#include "parse.h"
#include "guard.h"
#include "classify.h"
#include "count.h"
#include "state.h"
#include "limit.h"
#include "fragment.h"
#include "quoted.h"
#include "events.h"
#include "plain.h"
#include "judge.h"

#define HR_BULK 16384

/* Tuples and answers. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, HR_BULK);
    __type(key, u32);
    __type(value, struct hr_bulk);
} hr_bulk SEC(".maps");

/* Key 0: tuples to classify; key 1: the generation whose half is read. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, u64);
} hr_bulk_task SEC(".maps");

/* The reference: what eBPF firewalls commonly do. An address to an identity by a longest-prefix trie, twice, then a
 * hash. */
struct hr_lpm_key {
    u32 bits;
    u32 addr;
};

struct {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(max_entries, 200000);
    __type(key, struct hr_lpm_key);
    __type(value, u32);
} hr_ref_lpm SEC(".maps");

struct hr_ref_key {
    u32 src, dst, port;
};

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, struct hr_ref_key);
    __type(value, u32);
} hr_ref_policy SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 4096);
    __type(key, u32);
    __type(value, struct hr_count);
} hr_ref_count SEC(".maps");

struct hr_bulk_run {
    u32 slot;
    u32 sum;
};

static __always_inline void hr_bulk_packet(struct hr_packet *p, const struct hr_bulk *bulk) {
    p->src_hi = bulk->src_hi;
    p->src_lo = bulk->src_lo;
    p->dst_hi = bulk->dst_hi;
    p->dst_lo = bulk->dst_lo;
    p->dport = bulk->dport;
    p->protocol = bulk->protocol;
    p->v6 = bulk->v6;
}

static long hr_bulk_one(u32 index, struct hr_bulk_run *run) {
    struct hr_bulk *bulk = bpf_map_lookup_elem(&hr_bulk, &index);
    struct hr_packet p = {};
    struct hr_found found = {};
    struct hr_half half = hr_half_of(run->slot);

    if (!bulk)
        return 1;
    hr_bulk_packet(&p, bulk);
    hr_classify_inline(&half, &p, false, &found);
    bulk->in_flags = found.in.flags;
    bulk->out_flags = found.out.flags;
    bulk->in_rule = found.in.rule;
    bulk->out_rule = found.out.rule;
    bulk->in_trial = found.in.trial;
    bulk->out_trial = found.out.trial;
    return 0;
}

/* One bucket, charged by a clock that the test tells: src_hi is the time, in_flags and out_flags are interval and
 * burst, in_rule is the segments, out_rule the answer. The first tuple finds the bucket full. */
static long hr_charge_one(u32 index, struct hr_bulk_run *run) {
    struct hr_bulk *bulk = bpf_map_lookup_elem(&hr_bulk, &index);
    struct hr_buckets *buckets = HR_VALUE(HR_BUCKETS);
    u64 *full_at = &buckets->half[0].packets[0];
    u32 limit[2];

    (void)run;
    if (!bulk)
        return 1;
    if (!index)
        *full_at = 0;
    limit[0] = bulk->in_flags;
    limit[1] = bulk->out_flags;
    bulk->out_rule = hr_take(full_at, bulk->src_hi, limit, bulk->in_rule, true);
    return 0;
}

/* The same with a sum for an answer, so that memory traffic is that of the tables. */
static long hr_random_classify(u32 index, struct hr_bulk_run *run) {
    struct hr_bulk *bulk = bpf_map_lookup_elem(&hr_bulk, &index);
    struct hr_packet p = {};
    struct hr_found found = {};
    struct hr_half half = hr_half_of(run->slot);

    if (!bulk)
        return 1;
    hr_bulk_packet(&p, bulk);
    p.v6 = 0;
    hr_classify_inline(&half, &p, false, &found);
    run->sum += found.in.flags + found.out.rule;
    return 0;
}

static long hr_random_nothing(u32 index, struct hr_bulk_run *run) {
    struct hr_bulk *bulk = bpf_map_lookup_elem(&hr_bulk, &index);

    if (!bulk)
        return 1;
    run->sum += bulk->src_lo ^ bulk->dst_lo ^ bulk->dport;
    return 0;
}

static __always_inline u32 hr_reference(u32 src, u32 dst, u16 port) {
    struct hr_lpm_key from = {.bits = 32, .addr = bpf_htonl(src)}, to = {.bits = 32, .addr = bpf_htonl(dst)};
    u32 *s = bpf_map_lookup_elem(&hr_ref_lpm, &from), *d = bpf_map_lookup_elem(&hr_ref_lpm, &to), *verdict;
    struct hr_ref_key key = {.src = s ? *s : 0, .dst = d ? *d : 0, .port = port};

    verdict = bpf_map_lookup_elem(&hr_ref_policy, &key);
    return verdict ? *verdict : 0;
}

static long hr_random_reference(u32 index, struct hr_bulk_run *run) {
    struct hr_bulk *bulk = bpf_map_lookup_elem(&hr_bulk, &index);

    if (!bulk)
        return 1;
    run->sum += hr_reference(bulk->src_lo, bulk->dst_lo, bulk->dport);
    return 0;
}

#define HR_LOOP(name, body)                                                                                            \
    SEC("xdp")                                                                                                         \
    int name(struct xdp_md *ctx) {                                                                                     \
        u32 zero = 0, one = 1;                                                                                         \
        u64 *count = bpf_map_lookup_elem(&hr_bulk_task, &zero),                                                        \
            *generation = bpf_map_lookup_elem(&hr_bulk_task, &one);                                                    \
        struct hr_bulk_run run = {};                                                                                   \
        (void)ctx;                                                                                                     \
        if (!count || !generation)                                                                                     \
            return 0;                                                                                                  \
        run.slot = *generation & 1;                                                                                    \
        bpf_loop(*count, body, &run, 0);                                                                               \
        return run.sum & 0xffff;                                                                                       \
    }

HR_LOOP(hr_bulk_classify, hr_bulk_one)
HR_LOOP(hr_bulk_charge, hr_charge_one)
HR_LOOP(hr_loop_nothing, hr_random_nothing)
HR_LOOP(hr_loop_classify, hr_random_classify)
HR_LOOP(hr_loop_reference, hr_random_reference)

static __always_inline bool hr_bench_parse(struct xdp_md *ctx, struct hr_frame *f, struct hr_packet *p) {
    f->data = hr_pointer(ctx->data);
    f->end = hr_pointer(ctx->data_end);
    f->len = f->end - f->data;
    f->packets = 1;
    f->hook = HR_INGRESS;
    return hr_parse(p, f) && !p->problem;
}

SEC("xdp")
int hr_empty(struct xdp_md *ctx) {
    (void)ctx;
    return XDP_DROP;
}

SEC("xdp")
int hr_parse_only(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {};

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    return (p.src_lo ^ p.dst_lo ^ p.sport ^ p.dport ^ p.protocol) == 0x1234 ? XDP_PASS : XDP_DROP;
}

/* Parse, classify, count: what policy costs. */
SEC("xdp")
int hr_parse_classify(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {};
    struct hr_found found = {};
    struct hr_half half;

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    half = hr_half_of(hr_live_word());
    hr_classify_inline(&half, &p, false, &found);
    hr_count_rules(&f, bpf_get_smp_processor_id(), half.slot, &found);
    return hr_allows(&found) ? XDP_PASS : XDP_DROP;
}

SEC("xdp")
int hr_parse_reference(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {};
    struct hr_count *count;
    u32 verdict;

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    verdict = hr_reference(p.src_lo, p.dst_lo, p.dport);
    count = bpf_map_lookup_elem(&hr_ref_count, &verdict);
    if (count) {
        count->packets++;
        count->bytes += f.len;
    }
    return verdict & 1 ? XDP_PASS : XDP_DROP;
}

/* Parse and find the flow's entry: what a connection table costs. */
SEC("xdp")
int hr_parse_flow(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {};
    struct hr_flow *flow;

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    flow = hr_flow_find(&p);
    return flow ? XDP_PASS : XDP_DROP;
}

/* Parse and ask a preallocated hash of the guard's size. */
SEC("xdp")
int hr_parse_hash(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {.ifindex = ctx->ingress_ifindex};

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    return hr_guard_exact(&p, p.dport, HR_INGRESS << 4 | HR_MATCH_DST) ? XDP_PASS : XDP_DROP;
}

/* Parse and ask the guard. */
SEC("xdp")
int hr_parse_guard(struct xdp_md *ctx) {
    struct hr_frame f = {};
    struct hr_packet p = {.ifindex = ctx->ingress_ifindex};

    if (!hr_bench_parse(ctx, &f, &p))
        return XDP_ABORTED;
    return hr_before_policy(&f, &p) == HR_GUARD ? XDP_PASS : XDP_DROP;
}

char hr_license[] SEC("license") = "Dual BSD/GPL";
