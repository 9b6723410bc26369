/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The programs. Live ones are attached; probes run by BPF_PROG_TEST_RUN only. */
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

/* Bytes of a packet that must be linear to be judged; longer chains of headers are pulled up to this. */
#define HR_LINEAR 192

static __always_inline void hr_frame_xdp(struct hr_frame *f, struct xdp_md *ctx, bool frags) {
    f->data = hr_pointer(ctx->data);
    f->end = hr_pointer(ctx->data_end);
    f->ctx = ctx;
    f->len = f->end - f->data;
    f->lazy = frags;
    f->packets = 1;
    f->came_in = 0;
    f->vid = 0;
    f->hook = HR_INGRESS;
}

static __always_inline void hr_linear(struct __sk_buff *skb) {
    if (skb->data_end - skb->data < HR_LINEAR && skb->len > skb->data_end - skb->data)
        bpf_skb_pull_data(skb, skb->len < HR_LINEAR ? skb->len : HR_LINEAR);
}

static __always_inline void hr_frame_skb(struct hr_frame *f, struct __sk_buff *skb, u8 hook) {
    f->data = hr_pointer(skb->data);
    f->end = hr_pointer(skb->data_end);
    f->ctx = skb;
    f->len = skb->len;
    f->lazy = 0;
    f->packets = skb->gso_segs ? skb->gso_segs : 1;
    f->came_in = hook == HR_EGRESS ? skb->ingress_ifindex : 0;
    f->vid = skb->vlan_present ? skb->vlan_tci & 0xfff : 0;
    f->hook = hook;
}

/* With a frame of its own, so that the one of the straight line stays in registers. */
static __always_inline u32 hr_closely_xdp(struct xdp_md *ctx, u32 generation, bool frags, struct hr_case *c) {
    struct hr_frame f = {.ifindex = ctx->ingress_ifindex};

    hr_frame_xdp(&f, ctx, frags);
    return hr_judge(&f, generation, c);
}

static __always_inline int hr_run_xdp(struct xdp_md *ctx, bool frags) {
    u32 generation = hr_generation(), reason;
    struct hr_frame f = {.ifindex = ctx->ingress_ifindex};
    struct hr_case c;

    hr_frame_xdp(&f, ctx, frags);
    reason = hr_judge_plain(&f, generation, &c);
    if (!reason)
        reason = hr_closely_xdp(ctx, generation, frags, &c);
    return reason < HR_DROP_FIRST ? XDP_PASS : XDP_DROP;
}

static __always_inline u32 hr_closely_skb(struct __sk_buff *skb, u32 generation, u8 hook, struct hr_case *c) {
    struct hr_frame f = {.ifindex = skb->ifindex};

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    return hr_judge(&f, generation, c);
}

static __always_inline int hr_run_skb(struct __sk_buff *skb, u8 hook) {
    u32 generation = hr_generation(), reason;
    struct hr_frame f = {.ifindex = skb->ifindex};
    struct hr_case c;

    hr_frame_skb(&f, skb, hook);
    reason = hr_judge_plain(&f, generation, &c);
    if (!reason)
        reason = hr_closely_skb(skb, generation, hook, &c);
    /* TC_ACT_UNSPEC, the same as TCX_NEXT: other programs may still have their say. */
    return reason < HR_DROP_FIRST ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

static __always_inline int hr_probe_skb(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {.probe = 1};

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    return hr_ask(&f);
}

SEC("xdp")
int hr_xdp(struct xdp_md *ctx) {
    return hr_run_xdp(ctx, false);
}

/* For kernels that know multi-buffer frames (5.18): any MTU. */
SEC("xdp.frags")
int hr_xdp_frags(struct xdp_md *ctx) {
    return hr_run_xdp(ctx, true);
}

SEC("classifier")
int hr_ingress(struct __sk_buff *skb) {
    return hr_run_skb(skb, HR_INGRESS);
}

SEC("classifier")
int hr_egress(struct __sk_buff *skb) {
    return hr_run_skb(skb, HR_EGRESS);
}

static __always_inline int hr_guard_closely(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {.ifindex = skb->ifindex};
    struct hr_packet p = {.ifindex = skb->ifindex};
    u32 reason;

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    p.vid = f.vid;
    if (!hr_parse(&p, &f))
        return TC_ACT_UNSPEC;
    reason = hr_before_policy(&f, &p);
    if (!reason || reason == HR_SPOOFED)
        return TC_ACT_UNSPEC;
    hr_count_reason(&f, hr_this_cpu(), reason);
    return TC_ACT_OK;
}

/*
 * Nothing but the guard, before the policy's program where programs stack (TCX). TC_ACT_OK, the same as TCX_PASS: the
 * packet goes on and meets no other program. It reads no map of policy.
 */
static __always_inline int hr_run_guard(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {};

    hr_frame_skb(&f, skb, hook);
    return hr_plainly_unguarded(&f) ? TC_ACT_UNSPEC : hr_guard_closely(skb, hook);
}

SEC("classifier")
int hr_guard_ingress(struct __sk_buff *skb) {
    return hr_run_guard(skb, HR_INGRESS);
}

SEC("classifier")
int hr_guard_egress(struct __sk_buff *skb) {
    return hr_run_guard(skb, HR_EGRESS);
}

SEC("xdp")
int hr_ask_xdp(struct xdp_md *ctx) {
    struct hr_frame f = {.probe = 1};

    hr_frame_xdp(&f, ctx, false);
    return hr_ask(&f);
}

SEC("classifier")
int hr_ask_ingress(struct __sk_buff *skb) {
    return hr_probe_skb(skb, HR_INGRESS);
}

SEC("classifier")
int hr_ask_egress(struct __sk_buff *skb) {
    return hr_probe_skb(skb, HR_EGRESS);
}

/* How long a jiffy is: userspace compares the two clocks. */
SEC("classifier")
int hr_clock(struct __sk_buff *skb) {
    u32 zero = 0;
    struct hr_probe *probe = bpf_map_lookup_elem(&hr_probe, &zero);

    (void)skb;
    if (probe) {
        probe->jiffies = bpf_jiffies64();
        probe->clock_ns = bpf_ktime_get_ns();
    }
    return 0;
}

char hr_license[] SEC("license") = "Dual BSD/GPL";
