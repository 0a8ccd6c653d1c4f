#pragma once
/* What a check has found: warnings and refusals, each with its field path. */

#include "base/err.h"
#include "base/vec.h"
#include "xds/xds_support.h"

/* Findings told of each state; the rest is counted alone. */
enum { XDS_FINDINGS_MAX = 64 };

struct xds_finding {
    enum xds_state state; /* XDS_WARN or XDS_REFUSE */
    size_t line;          /* of a file; 0: not known */
    char *path;           /* "" for the resource itself */
    char *text;
};

struct xds_report {
    VEC(struct xds_finding) findings;
    size_t warned, refused; /* all, those that are not told too */
};

void xds_report_done(struct xds_report *r);
void xds_report_add(struct xds_report *r, enum xds_state state, const char *path, const char *fmt,
                    ...) __attribute__((format(printf, 4, 5)));
/* 0 if nothing was refused; else -EINVAL with the first refusal, and how many more there are. */
int xds_report_err(const struct xds_report *r, struct err *reterr) NODISCARD;
