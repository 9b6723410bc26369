/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a packet meets, in order. One function for every hook; what differs is known when it is compiled. */
#ifndef HR_JUDGE_H
#define HR_JUDGE_H

/* Guard: everything before policy. HR_NONE: policy has to say. */
static __always_inline u32 hr_before_policy(const struct hr_frame *f, struct hr_packet *p) {
    const struct hr_gate *gate = HR_VALUE(HR_GATE);
    u32 reason;

    if (!p->problem) {
        if (p->frag == HR_FRAG_LATER)
            reason = hr_fragment_follow(p, f->hook, true) ? HR_NONE : HR_GUARD;
        else
            reason = hr_ask_guard(gate, p, f->hook, f->probe);
        if (reason) {
            if (p->frag == HR_FRAG_FIRST && !f->probe)
                hr_fragment_remember(p, f->hook, true, true);
            return reason;
        }
    }
    if (f->hook == HR_INGRESS && hr_spoofed(gate, p))
        return HR_SPOOFED;
    return HR_NONE;
}

static __noinline u32 hr_about_quoted(const struct hr_way *way, const struct hr_packet *p, struct hr_found *found,
                                      void *data, void *end) {
    struct hr_packet q = {};
    u32 reason;

    if (!hr_quoted(p, &q, data, end))
        return HR_NONE;
    if (hr_quoted_sync(way, p, &q)) {
        *found = (struct hr_found){};
        return HR_QUOTED;
    }
    reason = hr_judge_quoted(way, &q, found);
    if (!reason)
        hr_classify(way->generation, p, false, found);
    return reason;
}

/* A refused packet, or one that passes only because a policy observes. */
static __always_inline u32 hr_second_opinion(const struct hr_frame *f, const struct hr_way *way,
                                             const struct hr_packet *p, struct hr_found *found) {
    return hr_is_error(p) ? hr_about_quoted(way, p, found, f->data, f->end) : hr_ask_state(way, p, found);
}

/* Classification lets it pass; `reason` is HR_NONE or HR_OBSERVED. */
static __always_inline u32 hr_pass(const struct hr_frame *f, const struct hr_way *way, const struct hr_packet *p,
                                   struct hr_found *found, u32 reason) {
    if (!f->probe && (way->fresh || hr_opens(p, f->hook, hr_keeps(found))))
        hr_remember(way, p, found, hr_purpose_of(way, p, found));
    else if (!f->probe && hr_ends(p) && (f->hook == HR_EGRESS || hr_keeps(found)))
        hr_note_end(p);
    if (!reason)
        return HR_ALLOWED;
    found->in.rule = found->in.trial;
    found->out.rule = found->out.trial;
    return reason;
}

static __always_inline u32 hr_by_policy(const struct hr_frame *f, struct hr_way *way, const struct hr_packet *p,
                                        struct hr_found *found) {
    u32 reason, limits = HR_NONE;

    /* Called and not inlined: the verifier goes through it once. */
    hr_classify(way->generation, p, false, found);
    if (!f->probe && hr_either(found, HR_FLAG_LIMIT | HR_FLAG_TRIAL_LIMIT))
        limits = hr_ask_limits(way, p, found, f->packets, f->came_in);
    if (limits == HR_RATE_LIMITED)
        return limits;
    if (hr_allows(found) && hr_allows_trial(found))
        return hr_pass(f, way, p, found, limits);
    way->observed = hr_allows(found);
    reason = hr_second_opinion(f, way, p, found);
    if (!way->observed)
        return reason ? reason : HR_DENIED;
    if (reason && reason < HR_DROP_FIRST) {
        if (way->fresh)
            hr_remember(way, p, found, HR_FOR_COUNTING);
        return reason;
    }
    return hr_pass(f, way, p, found, HR_OBSERVED);
}

/* Whether a packet is worth telling of: refused, observed, or logged; of a TCP flow that is logged its opening. */
static __always_inline bool hr_telling_of(const struct hr_packet *p, const struct hr_found *found, u32 reason) {
    if (reason == HR_OBSERVED || reason >= HR_DROP_FIRST)
        return true;
    return hr_either(found, HR_FLAG_LOG) && (p->protocol != HR_TCP || p->flags & HR_TCP_SYN);
}

/* What guard, fragments and the packet itself say; HR_NONE: policy is asked. */
static __always_inline u32 hr_judge_early(const struct hr_frame *f, const struct hr_way *way, struct hr_packet *p) {
    u32 reason = hr_before_policy(f, p);

    if (reason && reason != HR_SPOOFED)
        return reason;
    if (!way->generation)
        return HR_NO_POLICY;
    if (reason)
        return reason;
    if (p->problem)
        return p->problem;
    return p->frag == HR_FRAG_LATER ? hr_fragment_follow(p, f->hook, false) : HR_NONE;
}

/* What passes of later fragments has one reason; what is refused, limited or observed has its own. */
static __always_inline u32 hr_reason_of_later(u32 reason) {
    return reason < HR_DROP_FIRST && reason != HR_OBSERVED ? HR_FRAGMENT_FOLLOWS : reason;
}

/* The reason; below HR_DROP_FIRST the packet passes. `generation` is read once, by the program. */
static __always_inline u32 hr_judge_closely(struct hr_frame *f, u32 generation, struct hr_case *c) {
    u32 reason;

    *c = (struct hr_case){
        .p = {.ifindex = f->ifindex, .vid = f->vid},
        .way = {.generation = generation, .hook = f->hook, .probe = f->probe},
    };
    if (!hr_parse(&c->p, f))
        return HR_NOT_IP;
    reason = hr_judge_early(f, &c->way, &c->p);
    if (!reason) {
        reason = hr_by_policy(f, &c->way, &c->p, &c->found);
        if (!f->probe) {
            hr_count_rules(f, bpf_get_smp_processor_id(), generation & 1, &c->found);
            if (c->p.frag == HR_FRAG_FIRST)
                hr_fragment_remember(&c->p, f->hook, reason < HR_DROP_FIRST, false);
        }
        if (c->p.frag == HR_FRAG_LATER)
            reason = hr_reason_of_later(reason);
    }
    if (!f->probe && hr_telling_of(&c->p, &c->found, reason))
        hr_tell(&c->p, &c->way, &c->found, reason, f->len);
    return reason;
}

/* struct hr_live in one word, which is read once (G6): its low half is the generation; below 0 everything passes by
 * order. */
static __always_inline __s64 hr_live_word(void) {
    return *(volatile __s64 *)HR_VALUE(HR_LIVE);
}

/* Everything but the straight line of plain.h. */
static __always_inline u32 hr_judge(struct hr_frame *f, __s64 live) {
    struct hr_case c;
    u32 reason = live < 0 ? HR_DISARMED : hr_judge_closely(f, live, &c);

    hr_count_reason(f, hr_this_cpu(), reason);
    return reason;
}

/* What userspace asks, and where it is answered. */
static __always_inline struct hr_probe *hr_question(void) {
    u32 zero = 0;

    return bpf_map_lookup_elem(&hr_probe, &zero);
}

static __always_inline u32 hr_answer(struct hr_probe *probe, const struct hr_found *found, u32 reason) {
    probe->reason = reason;
    probe->in_rule = found->in.rule;
    probe->out_rule = found->out.rule;
    return reason;
}

/* The same code on the half and the interface that userspace asks about; leaves nothing behind but the answer. HR_NONE:
 * look closer. */
static __always_inline u32 hr_ask(struct hr_frame *f) {
    struct hr_probe *probe = hr_question();
    struct hr_plain plain = {};
    u32 reason;

    if (!probe)
        return HR_NONE;
    reason = hr_ask_plain(f, probe->generation, &plain);
    return hr_answer(probe, &plain.found, reason);
}

static __always_inline u32 hr_ask_closely(struct hr_frame *f) {
    struct hr_probe *probe = hr_question();
    struct hr_case c;
    u32 reason;

    if (!probe)
        return HR_NONE;
    f->ifindex = probe->ifindex;
    reason = hr_judge_closely(f, probe->generation, &c);
    return hr_answer(probe, &c.found, reason);
}

#endif
