/* fuzz-layer: agent
 * What a daemon of FRR shows: only what is ours is read, what was read comes back from its text,
 * and the commands that take it away name nothing else. */
#include <stdlib.h>

#include "agent/frr_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The lists are made of small things that end the program for want of memory. */
void fuzz_without_faults(void);
void fuzz_without_faults(void)
{
}

static void check_commands(const struct frr_config *from, const struct frr_config *to)
{
    struct frr_commands c = {0};
    long depth = 0;
    frr_config_diff(from, to, &c);
    VEC_FOREACH (one, &c) {
        depth += one->kind == FRR_ENTER ? 1 : one->kind == FRR_LEAVE ? -1 : 0;
        bool top = depth == 0 && one->kind == FRR_DO;
        if (depth < 0 || (top && !strstr(one->text, FRR_OWN)))
            abort();
    }
    if (depth)
        abort();
    frr_commands_done(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frr_config a = {0}, nothing = {0};
    AUTO_DONE(buf) struct buf text = {0};
    if (size > 20000)
        return 0;
    frr_config_parse(str_of(data, size), &a);
    VEC_FOREACH (s, &a.v)
        if (!strstr(s->outer, FRR_OWN) && !strstr(s->inner, FRR_OWN) && !strstr(s->line, FRR_OWN))
            abort();
    check_commands(&a, &nothing);
    check_commands(&nothing, &a);
    frr_config_format(&a, &text);
    frr_config_done(&a);
    return 0;
}
