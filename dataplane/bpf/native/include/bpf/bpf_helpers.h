/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * In the place of libbpf's header: the same macros, and the helpers as functions of this process. A helper that
 * programs begin to use is declared here and defined in native/maps.h or native/programs.h.
 */
#ifndef HR_NATIVE_BPF_HELPERS_H
#define HR_NATIVE_BPF_HELPERS_H

#include <linux/types.h>
#include <stddef.h>

/* Sections say to the loader what something is; here nobody loads. */
#define SEC(name)

/* As in libbpf: the struct of a map holds nothing, its types say everything. */
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#undef __noinline
#define __noinline __attribute__((noinline))

#define barrier_var(var) asm volatile("" : "+r"(var))

void *bpf_map_lookup_elem(void *map, const void *key);
long bpf_map_update_elem(void *map, const void *key, const void *value, __u64 flags);
long bpf_map_delete_elem(void *map, const void *key);
void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
void bpf_ringbuf_submit(void *data, __u64 flags);
__u64 bpf_ktime_get_ns(void);
__u64 bpf_jiffies64(void);
__u32 bpf_get_smp_processor_id(void);
__u64 bpf_xdp_get_buff_len(struct xdp_md *ctx);
long bpf_skb_pull_data(struct __sk_buff *skb, __u32 len);
/* Goes nowhere: whoever runs a program looks at what it returns, and runs the next one. */
#define bpf_tail_call_static(ctx, map, slot) ((void)(ctx), (void)(map), (void)(slot))

#endif
