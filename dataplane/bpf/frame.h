/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A frame at a hook, out of the context of its program. */
#ifndef HR_FRAME_H
#define HR_FRAME_H

struct hr_frame {
    void *data, *end;
    void *ctx;
    u64 len; /* of the whole frame, also what is not linear; but see `lazy` */
    u32 ifindex;
    u32 packets; /* segments of a large one */
    u32 came_in; /* the interface through which a leaving packet came; 0: sent from here, or arriving */
    u16 vid;     /* tag that the kernel has taken off */
    u8 hook;
    u8 probe; /* leaves nothing behind */
    u8 lazy;  /* `len` is of the first buffer only: the helper that knows better costs as much as all of parsing */
};

/* A packet pointer out of a context. The barrier keeps the compiler from taking it for the 32-bit number that the
 * header says it is. */
static __always_inline void *hr_pointer(u64 word) {
    barrier_var(word);
    return (void *)word;
}

static __always_inline void hr_frame_xdp(struct hr_frame *f, struct xdp_md *ctx, bool frags) {
    f->data = hr_pointer(ctx->data);
    f->end = hr_pointer(ctx->data_end);
    f->ctx = ctx;
    f->lazy = frags;
    f->came_in = 0;
    f->vid = 0;
    f->hook = HR_INGRESS;
}

/* The VLAN of the tag that the kernel has taken off; 0: none. Before 6.2 the protocol may be left over from a tag that
 * is gone; to ask for the tag alone takes longer. */
static __always_inline u16 hr_taken_off(struct __sk_buff *skb) {
    return skb->vlan_proto && skb->vlan_present ? skb->vlan_tci & 0xfff : 0;
}

/* Without that, for who has asked for it already. */
static __always_inline void hr_frame_untagged(struct hr_frame *f, struct __sk_buff *skb, u8 hook) {
    f->data = hr_pointer(skb->data);
    f->end = hr_pointer(skb->data_end);
    f->ctx = skb;
    f->lazy = 0;
    f->came_in = hook == HR_EGRESS ? skb->ingress_ifindex : 0;
    f->vid = 0;
    f->hook = hook;
}

static __always_inline void hr_frame_skb(struct hr_frame *f, struct __sk_buff *skb, u8 hook) {
    hr_frame_untagged(f, skb, hook);
    f->vid = hr_taken_off(skb);
}

/* What is counted of it; apart, for the straight line counts at its end and needs the registers until then. */
static __always_inline void hr_size(struct hr_frame *f, const bool xdp) {
    struct xdp_md *ctx = f->ctx;
    struct __sk_buff *skb = f->ctx;

    f->len = xdp ? hr_pointer(*(volatile __typeof__(ctx->data_end) *)&ctx->data_end) - f->data : skb->len;
    f->packets = xdp || !skb->gso_segs ? 1 : skb->gso_segs;
}

#endif
