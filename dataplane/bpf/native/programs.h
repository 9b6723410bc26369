/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Running a program on a frame, and the helpers that are about frames, clocks and processors. */
#ifndef HR_NATIVE_PROGRAMS_H
#define HR_NATIVE_PROGRAMS_H

struct hr_program {
    const char *name;
    int (*xdp)(struct xdp_md *);
    int (*skb)(struct __sk_buff *);
};

/* A program that can be asked for; in the list in native.c. */
#define HR_XDP(program)                                                                                                \
    { #program, program, NULL }
#define HR_SKB(program)                                                                                                \
    { #program, NULL, program }

static u64 hr_now_jiffies, hr_now_ns;
static u32 hr_cpu;

__u64 bpf_ktime_get_ns(void) {
    return hr_now_ns;
}

__u64 bpf_jiffies64(void) {
    return hr_now_jiffies;
}

__u32 bpf_get_smp_processor_id(void) {
    return hr_cpu;
}

/* The first bytes of a frame in memory of exactly that size: one byte further, and the sanitizer speaks. */
static void *hr_buffer(struct hr_whole *whole, u32 size) {
    u8 *memory = malloc(size);

    if (!memory && size)
        hr_fault("there is no memory for a frame of %u bytes", size);
    free(whole->linear);
    whole->linear = memory;
    if (size)
        memcpy(memory, whole->bytes, size);
    return memory;
}

__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx) {
    return ctx->whole.size;
}

/* As in the kernel, every pointer into the packet is stale afterwards. */
long bpf_skb_pull_data(struct __sk_buff *skb, __u32 size) {
    if (size > skb->whole.size)
        return -ENOMEM;
    skb->data = (u64)(uintptr_t)hr_buffer(&skb->whole, size);
    skb->data_end = skb->data + size;
    return 0;
}

/* What a packet brings along. */
struct hr_arrival {
    const u8 *frame;
    u32 bytes;
    u32 linear; /* the programs see so many bytes at first */
    u32 ifindex;
    u32 segments;
    u32 vlan; /* 1 << 16 | tag, if the kernel has taken one off */
};

static int hr_run(const struct hr_program *program, const struct hr_arrival *a) {
    struct hr_whole whole = {.bytes = a->frame, .size = a->bytes};
    u64 data = (u64)(uintptr_t)hr_buffer(&whole, a->linear);
    int action;

    if (program->xdp) {
        struct xdp_md ctx = {.data = data, .data_end = data + a->linear, .ingress_ifindex = a->ifindex, .whole = whole};

        action = program->xdp(&ctx);
        free(ctx.whole.linear);
    } else {
        struct __sk_buff skb = {
            .data = data,
            .data_end = data + a->linear,
            .len = a->bytes,
            .ifindex = a->ifindex,
            .gso_segs = a->segments,
            .vlan_present = a->vlan >> 16,
            .vlan_proto = a->vlan ? bpf_htons(HR_ETH_VLAN) : 0,
            .vlan_tci = a->vlan & 0xffff,
            .whole = whole,
        };

        action = program->skb(&skb);
        free(skb.whole.linear);
    }
    return action;
}

#endif
