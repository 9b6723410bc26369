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

/* Bytes of a packet that must be linear to be judged; longer chains of headers are pulled up to this. */
#define HR_LINEAR 192

static __always_inline void hr_linear(struct __sk_buff *skb) {
    if (skb->data_end - skb->data < HR_LINEAR && skb->len > skb->data_end - skb->data)
        bpf_skb_pull_data(skb, skb->len < HR_LINEAR ? skb->len : HR_LINEAR);
}

/*
 * The straight line alone is in the programs, so that it has the registers to itself. What looks closer is a function
 * that the verifier goes through once.
 */
static __always_inline int hr_look_closer_xdp(struct xdp_md *ctx, __s64 live, bool frags) {
    struct hr_frame f = {.ifindex = ctx->ingress_ifindex};

    hr_frame_xdp(&f, ctx, frags);
    hr_size(&f, true);
    return hr_judge(&f, live);
}

__noinline int hr_closer_xdp(struct xdp_md *ctx, __s64 live) {
    return hr_look_closer_xdp(ctx, live, false);
}

__noinline int hr_closer_xdp_frags(struct xdp_md *ctx, __s64 live) {
    return hr_look_closer_xdp(ctx, live, true);
}

static __always_inline u32 hr_plain_xdp(struct xdp_md *ctx, __s64 live) {
    struct hr_frame f = {};

    hr_frame_xdp(&f, ctx, false);
    return hr_plainly_judge(&f, live, true);
}

static __always_inline int hr_xdp_action(u32 reason) {
    return reason < HR_DROP_FIRST ? XDP_PASS : XDP_DROP;
}

static __always_inline int hr_look_closer_skb(struct __sk_buff *skb, __s64 live, u8 hook) {
    struct hr_frame f = {.ifindex = skb->ifindex};

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    hr_size(&f, false);
    return hr_judge(&f, live);
}

__noinline int hr_closer_ingress(struct __sk_buff *skb, __s64 live) {
    return hr_look_closer_skb(skb, live, HR_INGRESS);
}

__noinline int hr_closer_egress(struct __sk_buff *skb, __s64 live) {
    return hr_look_closer_skb(skb, live, HR_EGRESS);
}

static __always_inline u32 hr_plain_skb(struct __sk_buff *skb, __s64 live, u8 hook) {
    struct hr_frame f = {};

    if (HR_UNLIKELY(hr_taken_off(skb)))
        return HR_NONE;
    hr_frame_untagged(&f, skb, hook);
    return hr_plainly_judge(&f, live, false);
}

/* TC_ACT_UNSPEC, the same as TCX_NEXT: other programs may still have their say. */
static __always_inline int hr_skb_action(u32 reason) {
    return reason < HR_DROP_FIRST ? TC_ACT_UNSPEC : TC_ACT_SHOT;
}

SEC("xdp")
int hr_xdp(struct xdp_md *ctx) {
    __s64 live = hr_live_word();
    u32 reason = hr_plain_xdp(ctx, live);

    return hr_xdp_action(reason ? reason : hr_closer_xdp(ctx, live));
}

/* For kernels that know multi-buffer frames (5.18): any MTU. */
SEC("xdp.frags")
int hr_xdp_frags(struct xdp_md *ctx) {
    __s64 live = hr_live_word();
    u32 reason = hr_plain_xdp(ctx, live);

    return hr_xdp_action(reason ? reason : hr_closer_xdp_frags(ctx, live));
}

SEC("classifier")
int hr_ingress(struct __sk_buff *skb) {
    __s64 live = hr_live_word();
    u32 reason = hr_plain_skb(skb, live, HR_INGRESS);

    return hr_skb_action(reason ? reason : hr_closer_ingress(skb, live));
}

SEC("classifier")
int hr_egress(struct __sk_buff *skb) {
    __s64 live = hr_live_word();
    u32 reason = hr_plain_skb(skb, live, HR_EGRESS);

    return hr_skb_action(reason ? reason : hr_closer_egress(skb, live));
}

static __always_inline int hr_guard_look_closer(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {.ifindex = skb->ifindex};
    struct hr_packet p = {.ifindex = skb->ifindex};
    u32 reason;

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    hr_size(&f, false);
    p.vid = f.vid;
    if (!hr_parse(&p, &f))
        return TC_ACT_UNSPEC;
    reason = hr_before_policy(&f, &p);
    if (!reason || reason == HR_SPOOFED)
        return TC_ACT_UNSPEC;
    hr_count_reason(&f, hr_this_cpu(), reason);
    return TC_ACT_OK;
}

__noinline int hr_guard_closer_ingress(struct __sk_buff *skb) {
    return hr_guard_look_closer(skb, HR_INGRESS);
}

__noinline int hr_guard_closer_egress(struct __sk_buff *skb) {
    return hr_guard_look_closer(skb, HR_EGRESS);
}

/* Most packets are no sync flows, which their addresses say. */
static __always_inline bool hr_unguarded(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {};

    if (HR_UNLIKELY(hr_taken_off(skb)))
        return false;
    hr_frame_untagged(&f, skb, hook);
    return hr_plainly_unguarded(&f);
}

/* What the guard does not know goes on to the policy's program, and to others should that be missing. */
static __always_inline int hr_hand_on(struct __sk_buff *skb, int action, const u32 hook) {
    if (action == TC_ACT_UNSPEC)
        bpf_tail_call_static(skb, &hr_policy, hook);
    return action;
}

/*
 * Nothing but the guard, in a program of its own where programs stack (TCX). TC_ACT_OK, the same as TCX_PASS: the
 * packet goes on and meets no other program. Until it hands on it reads no map of policy.
 */
SEC("classifier")
int hr_guard_ingress(struct __sk_buff *skb) {
    return hr_hand_on(skb, hr_unguarded(skb, HR_INGRESS) ? TC_ACT_UNSPEC : hr_guard_closer_ingress(skb), HR_INGRESS);
}

SEC("classifier")
int hr_guard_egress(struct __sk_buff *skb) {
    return hr_hand_on(skb, hr_unguarded(skb, HR_EGRESS) ? TC_ACT_UNSPEC : hr_guard_closer_egress(skb), HR_EGRESS);
}

/* Probes are cut where live programs are. */
__noinline int hr_asked_xdp(struct xdp_md *ctx) {
    struct hr_frame f = {.probe = 1};

    hr_frame_xdp(&f, ctx, false);
    hr_size(&f, true);
    return hr_ask_closely(&f);
}

SEC("xdp")
int hr_ask_xdp(struct xdp_md *ctx) {
    struct hr_frame f = {.probe = 1};
    u32 reason;

    hr_frame_xdp(&f, ctx, false);
    reason = hr_ask(&f);
    return reason ? reason : hr_asked_xdp(ctx);
}

static __always_inline int hr_asked_skb(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {.probe = 1};

    hr_linear(skb);
    hr_frame_skb(&f, skb, hook);
    hr_size(&f, false);
    return hr_ask_closely(&f);
}

__noinline int hr_asked_ingress(struct __sk_buff *skb) {
    return hr_asked_skb(skb, HR_INGRESS);
}

__noinline int hr_asked_egress(struct __sk_buff *skb) {
    return hr_asked_skb(skb, HR_EGRESS);
}

static __always_inline u32 hr_ask_skb(struct __sk_buff *skb, u8 hook) {
    struct hr_frame f = {.probe = 1};

    if (hr_taken_off(skb))
        return HR_NONE;
    hr_frame_untagged(&f, skb, hook);
    return hr_ask(&f);
}

SEC("classifier")
int hr_ask_ingress(struct __sk_buff *skb) {
    u32 reason = hr_ask_skb(skb, HR_INGRESS);

    return reason ? reason : hr_asked_ingress(skb);
}

SEC("classifier")
int hr_ask_egress(struct __sk_buff *skb) {
    u32 reason = hr_ask_skb(skb, HR_EGRESS);

    return reason ? reason : hr_asked_egress(skb);
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
