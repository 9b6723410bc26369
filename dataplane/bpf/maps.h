/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The maps. All are pinned and outlive the process. Sizes given here are placeholders: userspace sets them from its
 * TableSizes. Memory-mapped arrays are written by userspace with plain stores; the hash maps by system calls. An array
 * with one value is read through HR_VALUE (settings.h), without a look-up.
 */
#ifndef HR_MAPS_H
#define HR_MAPS_H

/* Key 0. Written by userspace: `generation` by activation, `disarmed` by the operator. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_live);
} hr_live SEC(".maps");

/* Key: half. Written by userspace before the flip, read back after a restart. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, struct hr_meta);
} hr_meta SEC(".maps");

/*
 * Key 0. The value is every table of the half of even generations, laid out as the settings say. Its real value size is
 * set when userspace creates the map. Only the idle half is ever written.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
} hr_image_even SEC(".maps");

/* The same for odd generations. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, u64);
} hr_image_odd SEC(".maps");

/* Key: half * (HR_CHUNKS_MASK + 1) + chunk, where chunks are not inside the image. Written by userspace. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, struct hr_chunk);
} hr_chunks SEC(".maps");

/*
 * A counter for each rule, for each half of each CPU, one after the other: cpu * 2 + half. All in one value, which
 * needs no look-up, or where the kernel takes none so large in one for each CPU and half; sizes are set when userspace
 * creates the map. Written by programs, each on its own CPU; cleared by userspace in the idle half.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, u64);
} hr_rules SEC(".maps");

/* Key 0. The value is a struct hr_cpu for each CPU, and its real size is set when userspace creates the map. Written by
 * programs, each on its own CPU. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_cpu);
} hr_cpus SEC(".maps");

/* Key 0. Written by userspace: marks are made before an entry is added and cleared after it was removed. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_gate);
} hr_gate SEC(".maps");

/* The sync flows, exact. Preallocated: adding a member cannot fail for want of memory. Policy code has no handle to it.
 */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_guard_key);
    __type(value, struct hr_guard_value);
} hr_guard SEC(".maps");

/* Own addresses at which a joiner may call; the allowance is counted in the value, by programs. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 64);
    __type(key, struct hr_join_key);
    __type(value, struct hr_join_value);
} hr_join SEC(".maps");

/* Members' addresses and the interface on which they live. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_addr_key);
    __type(value, u32);
} hr_spoof SEC(".maps");

/* The device that carries a VLAN of an attached device: a tagged sync flow is one of that device. Written by userspace
 * before it attaches, and when VLANs come or go. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, struct hr_vlan_key);
    __type(value, u32);
} hr_vlan SEC(".maps");

/* Flows that were opened from here. Written by programs when an opening packet leaves; bounded, the least used entry
 * gives way. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_flow4_key);
    __type(value, struct hr_flow);
} hr_flows4 SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_flow6_key);
    __type(value, struct hr_flow);
} hr_flows6 SEC(".maps");

/*
 * Key 0. The value is a struct hr_buckets for each limit of the image, and its real size is set when userspace creates
 * the map. Programs charge the half of their generation; userspace empties the idle one and carries over what goes on.
 */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_buckets);
} hr_buckets SEC(".maps");

/* Sources that have sent by a rule that limits sources. Written by programs; bounded, the least used one gives way. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_source_key);
    __type(value, struct hr_bucket);
} hr_sources SEC(".maps");

/* Devices through which no packet comes that was not judged when it arrived: the attached ones and their VLANs. The
 * value says nothing. Written by userspace before it attaches, and when VLANs come or go. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2);
    __type(key, u32);
    __type(value, u32);
} hr_judged SEC(".maps");

/* Key: hook. The policy's program, to which the guard's hands on. Written by userspace when it has loaded, and when it
 * finds another there; emptied by the kernel with the last pin and descriptor. */
struct {
    __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
    __uint(max_entries, HR_HOOKS);
    __type(key, u32);
    __type(value, u32);
} hr_policy SEC(".maps");

/* First fragments: whether they passed, and what only they say, for the later ones. Written by programs; bounded, the
 * least used one gives way. Two tables, so that a flood of fragments cannot push out those of sync flows. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_fragment_key);
    __type(value, struct hr_fragment);
} hr_fragments SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 2);
    __type(key, struct hr_fragment_key);
    __type(value, struct hr_fragment);
} hr_sync_fragments SEC(".maps");

/* Key 0. Written by userspace. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_timeouts);
} hr_timeouts SEC(".maps");

/* Flow events, read by userspace when it has time. Full: the event is lost, and counted. */
struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 1 << 20);
} hr_events SEC(".maps");

/* Key 0. Question and answer of the probe programs; never touched by the live ones. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(map_flags, BPF_F_MMAPABLE);
    __uint(max_entries, 1);
    __type(key, u32);
    __type(value, struct hr_probe);
} hr_probe SEC(".maps");

#endif
