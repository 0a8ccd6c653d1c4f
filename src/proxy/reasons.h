#pragma once
/* The table of what can happen to a request (reasons.def). */

#include "base/str.h"

enum reason {
#define REASON(name, flag, details, status, body, sentence) REASON_##name,
#include "proxy/reasons.def"
#undef REASON
    _REASON_MAX,
};

struct reason_row {
    struct str flag;
    struct str details;
    unsigned status; /* 0: no answer of our own */
    struct str body;
    struct str sentence;
};

const struct reason_row *reason_row(enum reason r);
