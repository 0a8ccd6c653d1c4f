#pragma once
/* What is wrong with an object, or worth a word: the one form that Events, `analyze`, `explain` and
 * the dashboard share. */

#include "base/buf.h"

enum finding_severity {
    FINDING_INFO,
    FINDING_WARNING,
    FINDING_ERROR,
};

struct finding {
    enum finding_severity severity;
    const char *id;   /* CamelCase, the reason of an Event; constant */
    char *object;     /* namespace/name */
    char *field;      /* such as spec.rules[0].http.paths[1]; "" */
    char *message;    /* a sentence without a full stop */
    const char *hint; /* what to do; constant; NULL */
};

struct findings {
    struct finding *v;
    size_t n, cap;
};

/* Once, however often it is said. field NULL: the object as a whole. */
void finding_add(struct findings *f, enum finding_severity severity, const char *id,
                 const char *object, const char *field, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 7, 8)));
/* Is it there, by object, field and message? f NULL: nothing is. */
bool findings_have(const struct findings *f, const struct finding *one);
void findings_done(struct findings *f);
/* One line each: "warning Id object field: message". */
void findings_format(const struct findings *f, struct buf *out);
