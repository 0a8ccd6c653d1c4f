/* The rows of reasons.def. */
#include "proxy/reasons.h"

#include "base/assert.h"

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static const struct reason_row rows[_REASON_MAX] = {
#define REASON(name, flag, details, status, body, sentence)                                        \
    {TEXT(flag), TEXT(details), status, TEXT(body), TEXT(sentence)},
#include "proxy/reasons.def"
#undef REASON
};

const struct reason_row *reason_row(enum reason r)
{
    ASSERT(r < _REASON_MAX);
    return &rows[r];
}
